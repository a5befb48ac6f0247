"""Searches of the best options: trials of a study that several workers share."""
