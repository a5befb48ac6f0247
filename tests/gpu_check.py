"""make gpu-check: the whole chain on one GPU, line by line PASS or FAIL; about eight minutes.

Every command is one that a user would type: training of both families, encoder, calibration, all methods, the authors'
settings, a baseline on the critic's features, compilation, and DDP with one process, at 64 and at 128 pixels, on
pictures that this script draws. ``--cpu`` and ``--sizes 32`` try the script itself on a machine without a GPU.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from tqdm import tqdm

ROOT = Path(__file__).parents[1]
METHODS = ("rgi", "r_rgi", "anogan", "yeh", "yeh_masked", "pan", "pan_masked")
LIMIT = 300  # seconds until a command counts as hanging


def main() -> None:
    """Run all commands; exits with status 1 if one of them fails."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cpu", action="store_true", help="try the script without a GPU")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128], help="sides of the images in pixels")
    given = parser.parse_args()
    if not given.cpu and not torch.cuda.is_available():
        sys.exit("error: torch sees no GPU; install a build of torch with CUDA, or try the script with --cpu")
    device = "cpu" if given.cpu else "gpu"
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        draw_images(home)
        steps = [(size, *step) for size in given.sizes for step in commands(home, size, device)]
        for size, name, arguments in tqdm(steps, unit="command"):
            started = time.perf_counter()
            reason = run(home, arguments)
            failed += bool(reason)
            verdict = f"FAIL ({reason})" if reason else "PASS"
            tqdm.write(f"{size:4d} px  {name:32s} {time.perf_counter() - started:6.1f} s  {verdict}")
    print(f"{len(steps) - failed} passed, {failed} failed")
    sys.exit(bool(failed))


def draw_images(home: Path) -> None:
    """Clean pictures of smooth colours, and test pictures with a square and its mask."""
    rng = np.random.default_rng(0)
    for number in range(48):
        noise = rng.normal(size=(128, 128, 3))
        smooth = ndimage.gaussian_filter(noise, (8, 8, 0))
        pixels = np.clip(127 + 90 * smooth / smooth.std(), 0, 255).astype(np.uint8)
        folder = "clean" if number < 40 else "test"
        mask = np.zeros((128, 128), np.uint8)
        if folder == "test":
            mask[20:60, 30:70] = 255
            pixels[mask > 0] = rng.integers(0, 256, 3)
            save(home / f"masks/{number}.png", mask)
        save(home / f"{folder}/{number}.png", pixels)


def save(path: Path, pixels: np.ndarray) -> None:
    """Write a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def commands(home: Path, size: int, device: str) -> Iterator[tuple[str, list[str]]]:
    """Name and arguments of all commands at one size, in the order in which they need each other."""
    data = [f"dataset.{option}={home / folder}" for option, folder in (("root", "test"), ("train", "clean"))]
    common = [*data, f"dataset.resolution={size}", f"trainer.accelerator={device}"]
    masks, judging = f"dataset.masks={home / 'masks'}", ["judge.every=40", "judge.images=4", "judge.samples=32"]
    for family in ("compact", "progressive"):
        path = f"generator.path={home / f'{family}-{size}.safetensors'}"
        narrow = [f"generator.options.widths={widths(size)}"] if family == "progressive" else []
        chosen = [f"generator={family}", path, *narrow]
        brief = ["steps=80", "batch_size=8", "generator.encoder=null", *judging]
        yield f"pretrain {family}", ["experiment=folder_pretrain", *common, *chosen, *brief]
        yield f"encode {family}", ["task=encode", "dataset=folder", *common, *chosen, "generator.encoder.steps=30"]
        yield f"calibrate {family}", ["task=calibrate", "dataset=folder", *common, *chosen]
        short = ["solver.iterations=30", "solver.pool_size=64"]
        methods = METHODS if family == "compact" else ("rgi", "r_rgi")
        for method in methods:
            tuned = ["solver.tune_from=15"] if method in ("r_rgi", "pan", "pan_masked") else []
            options = [f"solver={method}", *short, *tuned, *common, *chosen, masks]
            yield f"{method} on {family}", ["dataset=folder", *options]
        reference = ["solver=reference/r_rgi", "paper=anomaly", *short, "solver.tune_from=15"]
        yield f"reference/r_rgi on {family}", ["dataset=folder", *common, *chosen, masks, *reference]
    compact = [*common, f"generator.path={home / f'compact-{size}.safetensors'}", masks]
    yield "padim on the critic", ["dataset=folder", "baseline=padim", *compact]
    combined = ["map.kind=combined", "map.sigma=1", "solver.iterations=30"]
    yield "rgi with the combined map", ["dataset=folder", "solver=rgi", *compact, *combined]
    yield "rgi compiled", ["dataset=folder", "solver=rgi", *compact, "solver.compile=true", "solver.iterations=30"]
    single = ["trainer=ddp", "trainer.devices=1"]
    yield "rgi with DDP of one process", ["dataset=folder", "solver=rgi", "solver.iterations=30", *single, *compact]
    target = f"generator.path={home / f'ddp-{size}.safetensors'}"
    brief = ["steps=40", "batch_size=8", "generator.encoder=null", *judging]
    yield "pretrain with DDP of one process", ["experiment=folder_pretrain", *single, *common, target, *brief]


def widths(size: int) -> str:
    """Narrow feature maps of the progressive family, one for each scale from 4 pixels on."""
    return f"[{','.join(['32'] * (size.bit_length() - 2))}]"


def run(home: Path, arguments: list[str]) -> str:
    """Run a command; returns the reason of a failure, "" for success."""
    command = [sys.executable, str(ROOT / "run.py"), *arguments]
    try:
        ended = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return f"no end after {LIMIT} s"
    lines = ended.stderr.strip().splitlines() or [""]
    return "" if ended.returncode == 0 else f"status {ended.returncode}: {lines[-1][:200]}"


if __name__ == "__main__":
    main()
