"""Training of generators and encoders with Lightning."""
