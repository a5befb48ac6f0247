"""Synthetic corruptions of clean images: holes and painted defects."""
