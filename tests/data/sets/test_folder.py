import numpy as np
import pytest
import torch
from PIL import Image

from rgi.data.batch import Batch
from rgi.data.images import read_image
from rgi.data.sets.folder import Folder
from rgi.errors import InputError
from rgi.validation import typed


def draw_image(path, seed=0, size=(24, 20)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)


def draw_mask(path, size=(24, 20)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((size[1], size[0]), np.uint8)
    pixels[:10] = 255
    Image.fromarray(pixels).save(path)


@pytest.fixture
def tree(tmp_path):
    """Three test images with masks, 25 clean ones."""
    for seed, name in enumerate(("crack/b.png", "crack/a.JPG", "top.bmp")):
        draw_image(tmp_path / "test" / name, seed)
    for name in ("crack/b.png", "crack/a.png", "top.png"):
        draw_mask(tmp_path / "masks" / name)
    for seed in range(25):
        draw_image(tmp_path / "clean" / f"{seed:02d}.png", 100 + seed)
    return tmp_path


def folder(tree, **changes):
    options = {"masks": str(tree / "masks"), "train": str(tree / "clean")} | changes
    return Folder(**{"root": str(tree / "test"), "resolution": 16, "channels": 3} | options)


def test_items_are_batches_of_one_with_their_masks(tree):
    images = folder(tree)
    images.prepare()
    test = images.test()
    items = [test[index] for index in range(len(test))]
    assert [item.name for item in items] == [["crack/a"], ["crack/b"], ["top"]]
    batch = Batch.collate(items)
    assert batch.observed.shape == (3, 3, 16, 16)
    assert batch.clean is None
    assert batch.category == [f"{tree.name}-test"] * 3
    assert torch.equal(batch.mask, torch.cat([torch.ones(3, 1, 8, 16), torch.zeros(3, 1, 8, 16)], 2))
    assert torch.equal(batch.observed[1], read_image(tree / "test/crack/b.png", 3, 16))


def test_masks_are_optional(tree):
    images = folder(tree, masks=None, category="mine")
    images.prepare()
    item = images.test()[0]
    assert item.mask is None
    assert item.category == ["mine"]


def test_clean_images_are_split_once_for_all(tree):
    images = folder(tree)
    train, validation = images.train(), images.validation()
    assert len(train) == 23
    assert len(validation) == 2
    everything = [path.name for path in (*train.files, *validation.files)]
    assert sorted(everything) == [f"{seed:02d}.png" for seed in range(25)]
    again = folder(tree)
    assert again.train().files == train.files
    assert again.validation().files == validation.files == [tree / "clean/09.png", tree / "clean/19.png"]


def test_remembered_images_are_those_of_the_file(tree):
    train = folder(tree, channels=1).train()
    first = train[3]
    expected = first.clone()
    first.zero_()
    train[3].zero_()
    assert torch.equal(train[3], expected)
    assert torch.equal(expected, read_image(train.files[3], 1, 16))


def test_hidden_and_other_files_are_no_images(tree):
    draw_image(tree / "test" / ".thumbnails" / "x.png")
    draw_image(tree / "test" / "._a.png")
    (tree / "test" / "notes.txt").write_text("not an image")
    (tree / "test" / "looks_like.png").mkdir()
    assert [sample.name for sample in folder(tree).samples()] == ["crack/a", "crack/b", "top"]


def test_only_test_images(tree):
    images = folder(tree, train=None)
    images.prepare()
    for ask in (images.train, images.validation):
        with pytest.raises(InputError, match=r"no clean images.*dataset\.train"):
            ask()


def test_too_few_images_for_validation(tree):
    for path in sorted((tree / "clean").iterdir())[9:]:
        path.unlink()
    with pytest.raises(InputError, match="9 clean images are too few"):
        folder(tree).validation()


def test_one_folder_for_training_and_testing(tree):
    images = folder(tree, root=str(tree / "clean"), masks=None)
    images.prepare()
    assert len(images.train()) + len(images.validation()) == len(images.test()) == 25


def refused(images, *words):
    with pytest.raises(InputError) as error:
        images.prepare()
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("option", ["root", "masks", "train"])
def test_a_missing_folder_is_named_as_given(tree, option):
    given = f"{tree}/./no/such/../folder/"
    refused(folder(tree, **{option: given}), f"dataset.{option}={given}: no such folder")


def test_an_empty_folder(tree):
    (tree / "empty").mkdir()
    refused(folder(tree, root=str(tree / "empty")), f"dataset.root={tree / 'empty'}: holds no images", ".png")


def test_image_without_mask(tree):
    (tree / "masks/crack/a.png").unlink()
    refused(folder(tree), str(tree / "test/crack/a.JPG"), "has no mask")


def test_mask_without_image(tree):
    draw_mask(tree / "masks/crack/c.png")
    refused(folder(tree), str(tree / "masks/crack/c.png"), "mask without image")


def test_mask_of_another_size(tree):
    draw_mask(tree / "masks/top.png", (20, 24))
    refused(folder(tree), str(tree / "masks/top.png"), "20x24", "24x20")


def test_two_images_of_one_name(tree):
    draw_image(tree / "test/top.png")
    refused(folder(tree), str(tree / "test/top.png"), "top.bmp")


@pytest.mark.parametrize("place", ["test/crack/a.JPG", "masks/top.png", "clean/07.png"])
def test_every_file_is_decoded(tree, place):
    data = (tree / place).read_bytes()
    (tree / place).write_bytes(data[: len(data) - 25])
    refused(folder(tree), str(tree / place), "the file is damaged")


@pytest.mark.parametrize(
    ("inner", "outer", "folders"),
    [
        ("masks", "root", {"root": ".", "masks": "clean", "train": None}),
        ("root", "masks", {"masks": "test"}),
        ("train", "root", {"root": ".", "masks": None, "train": "clean"}),
        ("root", "train", {"train": ".", "masks": None}),
        ("masks", "train", {"train": "masks"}),
        ("root", "masks", {"masks": ".", "root": "test/crack", "train": "clean"}),
    ],
)
def test_no_folder_lies_in_another(tree, inner, outer, folders):
    """Or images would be tested as well as trained on, or masks taken for images."""
    places = {option: None if place is None else str(tree / place) for option, place in folders.items()}
    with pytest.raises(InputError, match=rf"^dataset\.{inner}=.*: lies in dataset\.{outer}=.*; name folders") as error:
        folder(tree, **places).prepare()
    assert "\n" not in str(error.value)


def test_the_test_images_may_be_the_training_images(tree):
    same = folder(tree, root=str(tree / "clean"), masks=None)
    same.prepare()
    assert len(same.test()) == len(same.training_files())


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("channels", 2),
        ("channels", True),
        ("channels", 3.0),
        ("resolution", 0),
        ("resolution", "64px"),
        ("category", ""),
        ("category", "a/b"),
    ],
)
def test_impossible_options(tree, option, value):
    with pytest.raises(InputError, match=f"dataset.{option}={typed(value)}: must be"):
        folder(tree, **{option: value})


def test_the_category_is_the_folder_name(tree, monkeypatch):
    monkeypatch.chdir(tree / "test")
    assert Folder(root=".", resolution=16, channels=1).category == f"{tree.name}-test"  # a name that many folders have
    assert Folder(root=f"{tree}/clean/", resolution=16, channels=1).category == "clean"
