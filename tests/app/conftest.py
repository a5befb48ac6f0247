"""Runs of tests make their combined maps with few images: a coreset of many patches takes seconds."""

import pytest

from rgi.evaluation import clean_images, combined_map


@pytest.fixture(autouse=True)
def _few_feature_images(monkeypatch):
    monkeypatch.setattr(combined_map, "FEATURE_IMAGES", 2)
    monkeypatch.setattr(clean_images, "PAINTED_IMAGES", 8)
