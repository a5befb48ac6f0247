"""Known corruptions of clean images: holes and painted defects."""
