"""Datasets, corruptions, and the reading of image files."""
