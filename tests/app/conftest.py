"""Runs of tests fit the features of their combined maps to few images: a coreset of many patches takes seconds."""

import pytest

from rgi.evaluation import joint_map


@pytest.fixture(autouse=True)
def _few_feature_images(monkeypatch):
    monkeypatch.setattr(joint_map, "FEATURE_IMAGES", 2)
