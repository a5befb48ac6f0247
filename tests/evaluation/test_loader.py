"""Test images in batches for Lightning."""

from helpers.tiny_sets import write_folder

from rgi.data.batch import Batch
from rgi.data.corruptions.corrupted_set import CorruptedSet
from rgi.data.corruptions.holes import Irregular
from rgi.data.sets.folder import Folder
from rgi.evaluation.loader import TestData


def test_batches_reach_lightning(tmp_path, monkeypatch):
    monkeypatch.setenv("RGI_CACHE", str(tmp_path / "cache"))
    photos = str(write_folder(tmp_path)["train"])
    images = CorruptedSet(Folder(photos, 16, 1, train=photos), Irregular(0.2, "noise", 0)).test()
    loader = TestData(images, batch_size=len(images))
    loader.trainer = type("Alone", (), {"global_rank": 0, "world_size": 1})
    (batch,) = loader.test_dataloader()
    expected = Batch.collate([images[index] for index in range(len(images))])
    assert batch.name == expected.name
    assert batch.observed.equal(expected.observed)
    assert batch.mask.equal(expected.mask)
    assert batch.clean.equal(expected.clean)
