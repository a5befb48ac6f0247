"""Statistics of clean images, which a run computes before it solves test images.

Statistics of residuals normalise the anomaly map. Baselines on features of a network add a second map. Validation
images define a threshold. The run's own method solves the clean images, and their results are kept beside the results
of the test images.
"""

import logging

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from torch import Tensor
from torch.utils.data import Dataset

from rgi.baselines.features import critic_features
from rgi.baselines.imagenet import is_installed
from rgi.data.corruptions.corrupted_set import CorruptedSet
from rgi.data.corruptions.defects import PAINTERS, Defects
from rgi.data.protocol import ImageSet, TestSet, check_selected, evenly_spaced, selected
from rgi.errors import InputError
from rgi.evaluation.base import TestModule
from rgi.evaluation.combined_map import (
    FEATURE_PARTS,
    feature_maps,
    fitted_images,
    unfitted_baselines,
    weighted_by_painted,
)
from rgi.evaluation.held_out import painted_tests
from rgi.evaluation.loader import CleanBatches, TestData
from rgi.evaluation.modules import InversionModule
from rgi.evaluation.results import Result, load_result
from rgi.generators.store import GAN
from rgi.inversion.maps import CleanStatistics
from rgi.metrics.thresholds import clean_threshold
from rgi.pixels import luminance

log = logging.getLogger(__name__)
AUTO = "auto"
KINDS_FROM_CLEAN = ("normalised", "combined")  # kinds of anomaly map that need statistics of clean images
MIN_CLEAN_IMAGES = 4  # lowest number of clean training images for these kinds
STATISTICS_IMAGES = 32  # highest number of inverted images for the statistics; at most half of the clean images
# Painted defects for the weights of a combined map, from faint to gross. Compared in experiments/anomaly.
PAINTED = Defects(sorted(PAINTERS), contrast=(0.3, 3.0), seed=0)
PAINTED_IMAGES = 64  # highest number of painted images
MIN_PAINTED = 8  # lowest number of held-out images that are painted
THRESHOLD_IMAGES = 16  # highest number of validation images for the threshold


def choose_map(kind: str | None, features: str, images: ImageSet, gan: GAN) -> tuple[str | None, str]:
    """The kind of anomaly map and its features, with a choice for each "auto".

    The map is the combined one if there are enough clean training images, and no test image is corrupted by
    `CorruptedSet`; else it is the paper's. The features are those of ImageNet if the extra ``features`` is installed.
    Without them, a GAN whose critic has no features has the paper's map, too.

    Args:
        kind: kind of anomaly map, or "auto"; None for the paper's.
        features: "critic", "imagenet" or "auto".
        images: dataset.
        gan: GAN with the critic.

    Raises:
        InputError: clean images or features are missing, see `check_clean_images`.
    """
    if features == AUTO:
        features = "imagenet" if is_installed() else "critic"
    if kind == AUTO:
        reason = _no_combined_map(features, images, gan)
        if reason:
            log.info("the anomaly map is the paper's: %s", reason)
        kind = None if reason else "combined"
    check_clean_images(kind, features, images, gan)
    return kind, features


def _no_combined_map(features: str, images: ImageSet, gan: GAN) -> str:
    """Why there is no combined map; empty if there is one."""
    if isinstance(images, CorruptedSet):
        return "its test images are clean images that were corrupted"
    try:
        count = len(images.train())
        if features == "critic":
            critic_features(gan)
    except InputError as error:
        return str(error)
    return "" if count >= MIN_CLEAN_IMAGES else f"there are only {count} clean training images"


def check_clean_images(kind: str | None, features: str, images: ImageSet, gan: GAN) -> None:
    """Check the clean images and the features for `learn_from_clean_images` before work starts.

    Args:
        kind: kind of anomaly map, see `rgi.inversion.result.Inversion.anomaly_map`; None for the paper's map.
        features: features of a combined map, see `unfitted_baselines`.
        images: dataset with clean training images.
        gan: GAN with the critic.

    Raises:
        InputError: the clean images are missing or too few, or there are no such features.
    """
    if kind not in KINDS_FROM_CLEAN:
        return
    count = len(images.train())
    if count < MIN_CLEAN_IMAGES:
        raise InputError(
            f"map.kind={kind}: needs at least {MIN_CLEAN_IMAGES} clean training images, and there are {count}; "
            "add some, or set map.kind=residual"
        )
    used = statistics_images(count)
    if kind == "combined":
        unfitted_baselines(gan, features, seed=0)
        used = used + fitted_images(count, used)
    check_used(images.train(), used)


def check_used(clean: Dataset, positions: list[int]) -> None:
    """Check the files of clean images before they are used, on the first process only.

    Args:
        clean: dataset of clean images (C,H,W).
        positions: positions of the images that are used.

    Raises:
        InputError: a file is wrong.
    """
    if rank_zero_only.rank == 0:
        check_selected(clean, positions)


def statistics_images(count: int) -> list[int]:
    """Positions of the clean images that are inverted for the statistics, among this number of clean images."""
    return evenly_spaced(count, min(STATISTICS_IMAGES, count // 2))


def learn_from_clean_images(module: InversionModule, trainer: Trainer, images: ImageSet, batch_size: int) -> None:
    """Compute the statistics for the module's kind of anomaly map, and store them in ``module.clean``.

    Some clean training images are inverted for the statistics. The baselines of a combined map are fitted to the other
    clean training images. Painted defects on held-out clean images weight the residual and the baselines.

    Args:
        module: module of the method.
        trainer: trainer that runs the module.
        images: dataset with clean training images.
        batch_size: number of images in a batch.
    """
    clean, kind = images.train(), module.map_kind
    chosen = statistics_images(len(clean))
    painted = painted_images(images) if kind == "combined" else None
    module.map_kind = None  # no statistics exist yet
    results = _solve(module, trainer, "clean", _clean_batches(selected(clean, chosen), images), batch_size)
    tests = [] if painted is None else _solve(module, trainer, "painted", painted, batch_size)
    module.map_kind = kind
    baselines = unfitted_baselines(module.gan, module.features, module.pool_seed) if kind == "combined" else {}
    maps = feature_maps(baselines, clean, chosen, module.device)
    weights = [1.0, *(FEATURE_PARTS[module.features][name].weight for name in baselines)]
    module.clean = CleanStatistics(*_residuals(results, module.device), maps, weights, images.counted)
    if tests:
        observed, residuals = _residuals(tests, module.device)
        masks = torch.stack([torch.from_numpy(result["truth"][0]) for result in tests]).to(module.device)
        module.clean, module.painted = weighted_by_painted(module.clean, observed, residuals, masks, module.sigma)
        shown = ", ".join(f"{name} {score:.3f}" for name, score in module.painted.items())
        log.info("%s: pixel AUROC of painted defects: %s", module.method, shown)


def painted_images(images: ImageSet) -> TestSet | None:
    """Held-out clean images with painted defects; None if the dataset has no clean images beside the training images.

    Args:
        images: dataset.

    Raises:
        InputError: a file is wrong.
    """
    images = images.images if isinstance(images, CorruptedSet) else images  # whose own corruption is that of the tests
    held_out = held_out_images(images, PAINTED_IMAGES)
    return None if held_out is None or len(held_out) < MIN_PAINTED else painted_tests(images, PAINTED, PAINTED_IMAGES)


def held_out_images(images: ImageSet, limit: int) -> Dataset | None:
    """Evenly spaced validation images, checked; None if the dataset has none.

    Args:
        images: dataset.
        limit: highest number of images.

    Raises:
        InputError: a file is wrong.
    """
    try:
        held_out = images.validation()
    except InputError:  # the dataset has none
        return None
    chosen = evenly_spaced(len(held_out), limit)
    check_used(held_out, chosen)
    return selected(held_out, chosen)


def _residuals(results: list[Result], device: torch.device) -> tuple[Tensor, Tensor]:
    """Observed images (N,C,H,W) and residual maps (N,H,W)."""
    observed, restored = (
        torch.stack([torch.from_numpy(result[name]) for result in results]).to(device)
        for name in ("observed", "restored")
    )
    return observed, luminance(observed - restored)


def fix_threshold(
    module: TestModule, trainer: Trainer, images: ImageSet, batch_size: int, false_positive_rate: float | None
) -> None:
    """Compute a threshold that a given share of clean validation pixels exceeds, and store it in ``module.threshold``.

    There is no threshold if the rate is None, if the test images have no masks or are corrupted by `CorruptedSet`, or
    if the dataset has no validation images.

    Args:
        module: module of the method.
        trainer: trainer that runs the module.
        images: dataset with validation images.
        batch_size: number of images in a batch.
        false_positive_rate: share of pixels above the threshold, in [0,1); None for no threshold.
    """
    pictures = threshold_images(images, false_positive_rate)
    if pictures is not None:
        results = _solve(module, trainer, "validation", _clean_batches(pictures, images), batch_size)
        maps = torch.stack([torch.from_numpy(result["map"]) for result in results])
        if images.counted is not None:
            maps = maps[:, None, images.counted[0] != 0]
        module.threshold = clean_threshold([maps], false_positive_rate)


def threshold_images(images: ImageSet, false_positive_rate: float | None) -> Dataset | None:
    """The clean validation images for `fix_threshold`, checked; None if there is no threshold.

    Args:
        images: dataset with validation images.
        false_positive_rate: share of pixels above the threshold; None for no threshold.

    Raises:
        InputError: a file is wrong.
    """
    if false_positive_rate is None or isinstance(images, CorruptedSet) or images.test()[0].mask is None:
        return None
    return held_out_images(images, THRESHOLD_IMAGES)


def _clean_batches(clean: Dataset, images: ImageSet) -> CleanBatches:
    return CleanBatches([clean[i] for i in range(len(clean))], images.category, images.counted)


def _solve(module: TestModule, trainer: Trainer, folder: str, tests: TestSet, batch_size: int) -> list[Result]:
    """Solve other images than the test images; their results are kept in a folder beside those of the test images."""
    results, module.results = module.results, module.results.parents[1] / folder / module.method
    trainer.predict(module, datamodule=TestData(tests, batch_size), return_predictions=False)
    trainer.strategy.barrier()  # every process has written its images
    solved = [load_result(module.results, name) for name in tests.names]
    module.results = results
    return solved
