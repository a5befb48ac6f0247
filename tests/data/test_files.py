"""What every dataset of image files does: cutting, and refusing sets that nothing can be learned from."""

import numpy as np
import pytest
import torch
from PIL import Image

from rgi.data.batch import Batch
from rgi.data.files import MIN_TRAINING_IMAGES, FileSet
from rgi.data.listing import Sample
from rgi.errors import InputError

NOISE = np.random.default_rng(0).integers(0, 256, (24, 48, 3), np.uint8)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RGI_CACHE", str(tmp_path / "cache"))


class Pictures(FileSet):
    """A few files, half of which are also test images."""

    name, terms = "pictures", ""

    def __init__(self, files, masks=(), channels=3):
        super().__init__("set", 24, channels)
        self.files, self.masks = files, masks

    def training_files(self):
        return self.files

    def samples(self):
        return [Sample(path.stem, path, mask) for path, mask in zip(self.files, self.masks, strict=False)]


class RightHalf(Pictures):
    def box(self, path, size):
        assert size == (48, 24)
        return 24, 0, 48, 24


def write(folder, count=20, modes=("RGB",)):
    paths = [folder / f"{number:02d}.png" for number in range(count)]
    for number, path in enumerate(paths):
        Image.fromarray(NOISE).convert(modes[number % len(modes)]).save(path)
    return paths


def test_the_box_holds_for_training_and_for_testing(tmp_path):
    files = write(tmp_path)
    mask = np.zeros((24, 48), np.uint8)
    mask[:6, 36:] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    halves = RightHalf(files, [tmp_path / "mask.png"])
    expected = torch.from_numpy(NOISE[:, 24:] / np.float32(127.5) - 1).permute(2, 0, 1)
    assert torch.equal(halves.train()[0], expected)
    assert torch.equal(halves.validation()[0], expected)
    item = halves.test()[0]
    assert torch.equal(item.observed[0], expected)
    assert torch.equal(item.mask[0, 0], torch.from_numpy(mask[:, 24:] / np.float32(255)))
    assert not torch.equal(Pictures(files).train()[0], expected)


def test_grey_images_among_coloured_ones(tmp_path):
    files = write(tmp_path, modes=("RGB", "RGB", "L"))
    with pytest.raises(InputError, match=r"is grey but .* is coloured; convert .*dataset\.channels=1") as error:
        Pictures(files).prepare()
    named = [path for path in files if str(path) in str(error.value)]
    assert sorted(Image.open(path).mode for path in named) == ["L", "RGB"]
    Pictures(files, channels=1).prepare()

    class Mixed(Pictures):
        mixed_modes = True

    Mixed(files).prepare()


@pytest.mark.parametrize("modes", [("RGB", "P"), ("L", "1")])
def test_modes_that_go_together(tmp_path, modes):
    Pictures(write(tmp_path, modes=modes)).prepare()


def test_a_grey_palette_is_grey(tmp_path):
    files = write(tmp_path, modes=("L",))
    Image.fromarray(NOISE).convert("L").convert("P").save(files[0])
    Pictures(files).prepare()


def test_too_few_images_to_train_on(tmp_path):
    files = write(tmp_path, MIN_TRAINING_IMAGES + 1)  # of which one is for validation
    assert len(Pictures(files).train()) == MIN_TRAINING_IMAGES
    with pytest.raises(InputError, match=r"dataset\.category=set: 15 clean images are too few .* until there are 16"):
        Pictures(files[1:]).train()


def test_labels_are_decided_before_masks_are_resized(tmp_path):
    """A hairline vanishes from the mask of 24 pixels; the image stays defective."""
    files, masks = write(tmp_path, 3), []
    for number, rows in enumerate((0, 1, 300)):
        mask = np.zeros((480, 960), np.uint8)
        mask[:rows] = 255
        masks.append(tmp_path / f"mask{number}.png")
        Image.fromarray(mask).save(masks[-1])
    test = Pictures(files, masks).test()
    batch = Batch.collate([test[index] for index in range(3)])
    assert batch.mask.flatten(1).any(1).tolist() == [False, False, True]
    assert batch.defective.tolist() == [False, True, True]
    assert batch.select([1, 0]).defective.tolist() == [True, False]
    assert batch.to(torch.float64).defective.dtype == torch.bool
