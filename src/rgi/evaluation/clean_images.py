"""What a run learns from clean images before it solves the first test image: what is usual, and a threshold."""

from collections.abc import Callable
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer
from torch import Tensor
from torch.utils.data import Dataset

from rgi.baselines.features import critic_features
from rgi.baselines.padim import PaDiM
from rgi.data.module import CleanSample, ImageData, ImageSet, spread
from rgi.errors import InputError
from rgi.generators.store import GAN
from rgi.inversion.maps import CleanStatistics
from rgi.metrics.thresholds import clean_threshold
from rgi.modules.inversion import InversionModule, TestModule, load
from rgi.pixels import luminance

Opinion = Callable[[Tensor], Tensor]
JUDGED = ("normalised", "combined")  # kinds of maps that need to know what is usual
USUAL_IMAGES = 32  # inverted for it, at most; half of the images if there are fewer than twice as many
LEAST_IMAGES = 4
THRESHOLD_IMAGES = 16
OPINION_IMAGES = 1000  # that PaDiM is fitted to; its authors have some 250


def rehearse_judging(kind: str | None, images: ImageSet, gan: GAN) -> None:
    """Meet what would stop `judge_by_clean`.

    Raises:
        InputError: no clean images, too few of them, or a critic without features to compare.
    """
    if kind not in JUDGED:
        return
    count = len(images.train())
    if count < LEAST_IMAGES:
        raise InputError(
            f"map.kind={kind}: {count} clean training images are too few to say what is usual; add some, to "
            f"{LEAST_IMAGES} at least, or take map.kind=residual"
        )
    try:
        if kind == "combined":
            critic_features(gan)
    except InputError as error:
        raise InputError(f"map.kind=combined: {error}, or map.kind=normalised") from error


def judge_by_clean(cfg: DictConfig, trainer: Trainer, module: InversionModule, images: ImageSet) -> None:
    """Invert some clean training images for what is usual, and fit the second opinion of a combined map to the others.

    The second opinion is PaDiM on the critic's features, as conf/baseline/padim.yaml has it.
    """
    clean, kind = images.train(), cfg.map.kind
    chosen = spread(len(clean), min(USUAL_IMAGES, len(clean) // 2))
    module.map_kind = None  # until there is something to judge by
    found = _solve(cfg, trainer, module, "clean", [clean[i] for i in chosen], images.category)
    module.map_kind = kind
    opinion = padim_opinion(module.gan, clean, chosen, cfg.seed, module.device) if kind == "combined" else None
    module.clean = usual(found, opinion, module.device)


def padim_opinion(gan: GAN, clean: Dataset, without: list[int], seed: int, device: torch.device) -> Opinion:
    """PaDiM's scores (B,H,W) of images; it is fitted to clean ones (C,H,W) except those at some positions."""
    left = sorted(set(range(len(clean))) - set(without))
    others = torch.stack([clean[left[i]] for i in spread(len(left), OPINION_IMAGES)])
    padim = PaDiM(critic_features(gan), seed=seed).fit(others.to(device))
    return lambda pictures: padim.predict(pictures).scores


def usual(found: list[dict[str, Any]], opinion: Opinion | None, device: torch.device) -> CleanStatistics:
    """What is usual in clean images, from their results."""
    observed, restored = (
        torch.stack([torch.from_numpy(each[name]) for each in found]).to(device) for name in ("observed", "restored")
    )
    return CleanStatistics(observed, luminance(observed - restored), opinion)


def fix_threshold(cfg: DictConfig, trainer: Trainer, module: TestModule, images: ImageSet) -> None:
    """Solve clean validation images for the threshold that so many of their pixels exceed, where defects are sought."""
    seeks_defects = OmegaConf.select(cfg, "corruption") is None and images.test()[0].mask is not None
    if cfg.map.false_positive_rate is None or not seeks_defects:
        return
    try:
        held_out = images.validation()
    except InputError:  # there are none
        return
    pictures = [held_out[i] for i in spread(len(held_out), THRESHOLD_IMAGES)]
    found = _solve(cfg, trainer, module, "validation", pictures, images.category)
    maps = (torch.from_numpy(each["map"])[None] for each in found)
    module.set_threshold(clean_threshold(maps, cfg.map.false_positive_rate))


def _solve(
    cfg: DictConfig, trainer: Trainer, module: TestModule, name: str, pictures: list[torch.Tensor], category: str
) -> list[dict[str, Any]]:
    """Results of clean images, which are kept in a folder beside those of the test images."""
    sample, results = CleanSample(pictures, category), module.results
    module.results = results.parents[1] / name / module.method
    trainer.predict(module, datamodule=ImageData(sample, cfg.batch_size), return_predictions=False)
    trainer.strategy.barrier()  # every process has written its images
    found = [load(module.results / f"{each}.npz") for each in sample.test().names]
    module.results = results
    return found
