"""Metrics of restored images, anomaly maps and generators."""
