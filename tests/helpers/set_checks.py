"""What the tests of several datasets check alike."""

import numpy as np
import pytest
import torch
from PIL import Image

from rgi.data.batch import Batch
from rgi.errors import InputError

CLEAN = {"resolution": 16, "channels": 3, "test_images": None}  # options of a set of clean images


def refused(dataset, *words):
    """`prepare` ends in one line that holds these words."""
    with pytest.raises(InputError) as error:
        dataset.prepare()
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def parts(dataset) -> list[list[str]]:
    """The stems of the images that are for training, validation and testing; no image is in two of them."""
    files = [dataset.train().files, dataset.validation().files, [sample.image for sample in dataset.test().samples]]
    found = [[path.stem for path in part] for part in files]
    assert len({stem for part in found for stem in part}) == sum(map(len, found))
    return found


def check_clean_tests(dataset, names):
    """Nothing is wrong with the set; its test images, of these names, are their own truth, and a copy of it."""
    dataset.prepare()
    test = dataset.test()
    assert test.names == list(names)
    items = [test[index] for index in range(len(test))]
    batch = Batch.collate(items)
    assert batch.name == list(names)
    assert batch.category == [dataset.category] * len(names)
    assert batch.mask is None
    assert batch.observed.shape == (len(names), dataset.channels, dataset.resolution, dataset.resolution)
    assert torch.equal(batch.observed, batch.clean)
    items[0].observed.zero_()
    assert items[0].clean.abs().max() > 0


def check_common_mistakes(make, home, write, image, page):
    """A set of clean images that is not there, empty, or has a broken image; ``write`` makes a sound one."""
    refused(make(home / "nowhere"), "dataset.root=", "no such folder", page)
    refused(make(home), f"dataset.root={home}: holds no images")
    write(home)
    content = (home / image).read_bytes()
    (home / image).write_bytes(content[:-100])
    refused(make(home), str(home / image), "the file is damaged")
    (home / image).write_bytes(content)


def paint(path, size, box):
    """A black picture of (width, height) with a red box (left, top, right, bottom) in it, saved without loss."""
    pixels = np.zeros((*size[::-1], 3), np.uint8)
    left, top, right, bottom = box
    pixels[top:bottom, left:right] = (255, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def check_red(image):
    """All of it is the red of `paint`, and nothing else."""
    assert (image[0] == 1).all()
    assert (image[1:] == -1).all()
