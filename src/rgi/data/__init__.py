"""Datasets and their pictures."""
