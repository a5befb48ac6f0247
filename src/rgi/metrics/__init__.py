"""How good a restored image or an anomaly map is: the `standard` and the `reference` protocol."""
