"""What a run learns from clean images before it solves the first test image.

Statistics of the residuals normalise the anomaly map, PaDiM on the critic's features adds a second map, and a threshold
is fixed. Clean images are solved by the run's own method; their results are kept beside those of the test images.
"""

import torch
from pytorch_lightning import Trainer
from torch import Tensor
from torch.utils.data import Dataset

from rgi.baselines.features import critic_features
from rgi.baselines.padim import PaDiM
from rgi.data.corruptions.corrupted_set import CorruptedSet
from rgi.data.protocol import ImageSet, evenly_spaced
from rgi.errors import InputError
from rgi.evaluation.loader import CleanBatches, TestData
from rgi.evaluation.modules import InversionModule, TestModule
from rgi.evaluation.results import Result, load_result
from rgi.generators.store import GAN
from rgi.inversion.maps import CleanStatistics, FeatureMap
from rgi.metrics.thresholds import clean_threshold
from rgi.pixels import luminance

KINDS_FROM_CLEAN = ("normalised", "combined")  # kinds of anomaly map that need statistics of clean images
MIN_CLEAN_IMAGES = 4
STATISTICS_IMAGES = 32  # inverted for the statistics, at most; half of the clean images if they are fewer than 64
FEATURE_IMAGES = 1000  # that PaDiM is fitted to, at most; its authors use about 250
THRESHOLD_IMAGES = 16


def check_clean_images(kind: str | None, images: ImageSet, gan: GAN) -> None:
    """Check, before work starts, that `learn_from_clean_images` will have what it needs.

    Raises:
        InputError: no clean images, too few of them, or a critic without features to compare.
    """
    if kind not in KINDS_FROM_CLEAN:
        return
    count = len(images.train())
    if count < MIN_CLEAN_IMAGES:
        raise InputError(
            f"map.kind={kind}: needs at least {MIN_CLEAN_IMAGES} clean training images, and there are {count}; "
            "add some, or set map.kind=residual"
        )
    try:
        if kind == "combined":
            critic_features(gan)
    except InputError as error:
        raise InputError(f"map.kind=combined: {error}, or set map.kind=normalised") from error


def learn_from_clean_images(
    module: InversionModule, trainer: Trainer, images: ImageSet, batch_size: int, seed: int
) -> None:
    """Give the module the statistics that its kind of anomaly map needs.

    Some clean training images are inverted for the statistics. For a combined map, PaDiM is fitted to the others.
    """
    clean, kind = images.train(), module.map_kind
    chosen = evenly_spaced(len(clean), min(STATISTICS_IMAGES, len(clean) // 2))
    module.map_kind = None  # no statistics exist yet
    results = _solve(module, trainer, "clean", [clean[i] for i in chosen], images.category, batch_size)
    module.map_kind = kind
    feature_map = padim_map(module.gan, clean, chosen, seed, module.device) if kind == "combined" else None
    module.clean = clean_statistics(results, feature_map, module.device)


def padim_map(gan: GAN, clean: Dataset, excluded: list[int], seed: int, device: torch.device) -> FeatureMap:
    """PaDiM on the critic's features, as conf/baseline/padim.yaml has it.

    Args:
        gan: whose critic gives the features.
        clean: clean images (C,H,W).
        excluded: positions of the images that PaDiM is not fitted to.
        seed: of PaDiM's choice of channels.
        device: that PaDiM is fitted on.

    Returns:
        A function from images (B,C,H,W) to scores (B,H,W).
    """
    rest = sorted(set(range(len(clean))) - set(excluded))
    chosen = torch.stack([clean[rest[i]] for i in evenly_spaced(len(rest), FEATURE_IMAGES)])
    padim = PaDiM(critic_features(gan), seed=seed).fit(chosen.to(device))
    return lambda images: padim.predict(images).scores


def clean_statistics(results: list[Result], feature_map: FeatureMap | None, device: torch.device) -> CleanStatistics:
    """The statistics of clean images, from the results of their inversion."""
    observed, restored = (
        torch.stack([torch.from_numpy(result[name]) for result in results]).to(device)
        for name in ("observed", "restored")
    )
    return CleanStatistics(observed, luminance(observed - restored), feature_map)


def fix_threshold(
    module: TestModule, trainer: Trainer, images: ImageSet, batch_size: int, false_positive_rate: float | None
) -> None:
    """Fix the module's threshold: this share of clean validation pixels exceeds it.

    Nothing happens without a rate, where the test images have no masks or painted corruptions, or where the dataset has
    no validation images.
    """
    if false_positive_rate is None or isinstance(images, CorruptedSet) or images.test()[0].mask is None:
        return
    try:
        held_out = images.validation()
    except InputError:  # the dataset has none
        return
    pictures = [held_out[i] for i in evenly_spaced(len(held_out), THRESHOLD_IMAGES)]
    results = _solve(module, trainer, "validation", pictures, images.category, batch_size)
    maps = torch.stack([torch.from_numpy(result["map"]) for result in results])
    module.threshold = clean_threshold([maps], false_positive_rate)


def _solve(
    module: TestModule, trainer: Trainer, folder: str, pictures: list[Tensor], category: str, batch_size: int
) -> list[Result]:
    """Results of clean images, kept in a folder beside that of the test images."""
    batches, results = CleanBatches(pictures, category), module.results
    module.results = results.parents[1] / folder / module.method
    trainer.predict(module, datamodule=TestData(batches, batch_size), return_predictions=False)
    trainer.strategy.barrier()  # every process has written its images
    clean = [load_result(module.results, name) for name in batches.names]
    module.results = results
    return clean
