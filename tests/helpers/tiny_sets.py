"""Datasets and generators that are complete in their layout and next to nothing in size."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.io import savemat

from rgi.generators import build
from rgi.generators.store import GAN, Card, save_gan

BTAD_TEST = ("ko/0000", "ko/0001", "ok/0000")
CELEBA_TEST = ("000009", "000019")
CLEAN_TEST = ("00009", "00019")  # of cars and bedrooms
FOLDER_TEST = ("a", "b", "sub/c", "sub/d", "sub/e")
MVTEC_TEST = ("bent/000", "good/000", "scratch/000", "scratch/001")
NETWORK = {"width": 2, "max_width": 4}  # options of the compact family
ENCODER = {"width": 2, "max_width": 4, "steps": 4, "batch_size": 4}
TILE_TEST = (
    "blowhole/exp1_num_1000", "break/exp1_num_3000", "crack/exp1_num_2000", "fray/exp1_num_4000",
    "good/exp2_num_1003", "uneven/exp1_num_5000",
)  # fmt: skip
LATENT = 8


def write_generator(
    path: Path, channels: int = 1, resolution: int = 64, residuals: bool = True, family: str = "compact"
) -> Path:
    """A random compact or progressive generator, with or without what ``mask_penalty: auto`` needs."""
    torch.manual_seed(0)
    sizes = {"latent_dim": LATENT, "channels": channels, "resolution": resolution}
    options = NETWORK if family == "compact" else {"widths": [2] * (resolution.bit_length() - 2)}
    generator, critic = build(family, **sizes, **options)
    known = {"0.5": 0.3, "0.9": 0.5, "0.95": 0.6, "0.99": 0.7} if residuals else {}
    return save_gan(GAN(generator, critic, None, Card(family, **sizes, options=options, residuals=known)), path)


def write_mvtec(root: Path, category: str = "screw") -> Path:
    """The layout of MVTec AD with 20 training images and `MVTEC_TEST`."""
    home = root / category
    for seed, name in enumerate((*(f"train/good/{i:03d}" for i in range(20)), *(f"test/{n}" for n in MVTEC_TEST))):
        _image(home / f"{name}.png", seed)
    for name in MVTEC_TEST:
        if not name.startswith("good"):
            _mask(home / f"ground_truth/{name}_mask.png")
    return root


def write_btad(root: Path, product: str = "03") -> Path:
    """The layout of a product of BTAD with 20 training images and `BTAD_TEST`."""
    home = root / product
    for seed, name in enumerate((*(f"train/ok/{i:04d}" for i in range(20)), *(f"test/{n}" for n in BTAD_TEST))):
        _image(home / f"{name}.bmp", seed)
    for name in BTAD_TEST[:2]:
        _mask(home / f"ground_truth/{name}.png")
    return root


def write_celeba(root: Path) -> Path:
    """The layout of CelebA at half size: 24 images of the archive's folder, two of them `CELEBA_TEST`."""
    for number in range(1, 25):
        _image(root / f"img_align_celeba/{number:06d}.jpg", number, size=(89, 109))
    return root


def write_stanford_cars(root: Path) -> Path:
    """The layout of Stanford Cars: 24 photographs, two of them `CLEAN_TEST`, each with a box of 20 x 30 pixels."""
    for number in range(1, 25):
        _image(root / f"cars_train/{number:05d}.jpg", number)
    write_boxes(root, {f"{number:05d}.jpg": (11, 6, 30, 35) for number in range(1, 25)})
    return root


def write_boxes(root: Path, boxes: dict[str, tuple[int, int, int, int]]) -> Path:
    """The MATLAB file of Stanford Cars' devkit, its boxes (x1, y1, x2, y2) counted from 1, with both corners."""
    path = root / "devkit/cars_train_annos.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = [(name, object) for name in ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")]
    rows = [(*box, 1, name) for name, box in boxes.items()]
    savemat(path, {"annotations": np.array(rows, fields)[None]})
    return path


def write_lsun_bedroom(root: Path) -> Path:
    """Bedrooms as LSUN's program exports them: 24 in folders named after their keys, two of them `CLEAN_TEST`."""
    for number in range(1, 25):
        key = f"{number:05d}"
        _image(root.joinpath(*key, f"{key}.webp"), number)
    return root


def write_magnetic_tile(root: Path) -> Path:
    """The layout of the magnetic tiles: an image of each defect, a clean one of such a tile, 20 clean tiles."""
    defects = {"Blowhole": 1000, "Crack": 2000, "Break": 3000, "Fray": 4000, "Uneven": 5000}
    names = [f"MT_{kind}/Imgs/exp1_num_{number}" for kind, number in defects.items()]
    names += ["MT_Free/Imgs/exp2_num_1003", *(f"MT_Free/Imgs/exp1_num_{6000 + 1000 * i}" for i in range(20))]
    for seed, name in enumerate(names):
        _image(root / f"{name}.jpg", seed)
        _mask(root / f"{name}.png", empty="Free" in name)
    return root


def write_folder(home: Path) -> dict[str, Path]:
    """Somebody's own images: `FOLDER_TEST` below ``root``, their ``masks``, 20 clean ones to ``train`` on."""
    folders = {name: home / name for name in ("root", "masks", "train")}
    for seed, name in enumerate(FOLDER_TEST):
        _image(folders["root"] / f"{name}.png", seed)
        _mask(folders["masks"] / f"{name}.png")
    for seed in range(20):
        _image(folders["train"] / f"{seed}.png", 100 + seed)
    return folders


def _image(path: Path, seed: int, size: tuple[int, int] = (40, 40)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8)
    Image.fromarray(pixels).save(path)


def _mask(path: Path, empty: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((40, 40), np.uint8)
    pixels[:10] = 0 if empty else 255
    Image.fromarray(pixels).save(path)
