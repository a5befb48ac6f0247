"""Solving and scoring of test images with Lightning."""
