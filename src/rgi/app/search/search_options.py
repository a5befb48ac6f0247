"""The options of task=search: the search space, the metric with its protocol, and the images that decide."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from omegaconf import DictConfig, OmegaConf
from pydantic import Field

from rgi.errors import InputError
from rgi.report.tables import METRICS
from rgi.validation import Allowed, AsTuple, Count, Seed, checked, one_of, typed

SEARCHED = ("solver", "map", "baseline")  # groups whose options may be searched; others decide which images are scored
PAINTED, CLEAN = "painted", "clean"  # beginnings of metrics on held-out clean images
COST = ("evaluations_per_image", "peak_memory_mib", "seconds_per_image")  # no quality, so no metric of a search
# For each metric +1 if higher is better, or -1 if lower is better.
LABELLED = {
    key if "/" in key else f"standard/{key}": each.direction
    for key, each in METRICS.items()
    if each.direction and key not in COST
}
UNLABELLED = {f"{CLEAN}/gap": -1, f"{CLEAN}/false_positive_rate": -1}
DIRECTIONS = LABELLED | UNLABELLED | {f"{PAINTED}/{name}": direction for name, direction in LABELLED.items()}
METRIC_WORDS = f"one of {', '.join(LABELLED)}, these after {PAINTED}/, {' or '.join(UNLABELLED)}"
RANGE = {"low", "high", "log", "step"}  # keys of a range of numbers
FILES = "data, generator or code"  # name of all that decides besides options, see `rgi.app.runs.run_fingerprint`
ABSENT = object()
Images = Annotated[
    tuple[Count, ...],
    Field(min_length=1),
    AsTuple,
    Allowed("a list of ascending whole numbers above 0, like [8,32], or [32] for no pruning"),
]


@checked("search")
@dataclass(frozen=True)
class SearchOptions:
    """Options of a search, see conf/search/rgi.yaml.

    Raises:
        InputError: an option is unknown or out of range.
    """

    space: dict
    trials: Count
    metric: Annotated[one_of(*DIRECTIONS), Allowed(METRIC_WORDS)]
    images: Images
    seed: Seed
    sampler: dict
    pruner: dict

    def __post_init__(self) -> None:
        if list(self.images) != sorted(set(self.images)):
            raise InputError(f"search.images={typed(self.images)}: must ascend; write the lower number first")

    @property
    def direction(self) -> int:
        """+1 if a higher metric is better, -1 if a lower one is."""
        return DIRECTIONS[self.metric]

    @property
    def data(self) -> str:
        """The scored images: `PAINTED`, `CLEAN`, or "" for the labelled test images."""
        first = self.metric.partition("/")[0]
        return first if first in (PAINTED, CLEAN) else ""

    @property
    def score(self) -> str:
        """Name of the metric among the scores of a run."""
        return self.metric.removeprefix(f"{PAINTED}/")

    @property
    def scored_images(self) -> str:
        """The scored images in words."""
        words = {PAINTED: "held-out clean images with painted damage", CLEAN: "held-out clean images"}
        return words.get(self.data, "labelled test images")

    @property
    def warning(self) -> str:
        """What a reader must know of the metric; empty for most metrics without labels."""
        if not self.data:
            return (
                f"{self.metric} is computed from the test images and their labels. The best value is optimistic for "
                "these images, and says little about others. Unlabelled alternatives: "
                f"search.metric={PAINTED}/{self.metric}, {CLEAN}/gap or {CLEAN}/false_positive_rate"
            )
        if self.data == CLEAN:
            return (
                f"{self.metric} sees clean images only, so options that find no defect at all may be the best. "
                f"Check the result with search.metric={PAINTED}/..."
            )
        return ""


def search_options(cfg: DictConfig) -> SearchOptions:
    """The checked options of the search.

    Raises:
        InputError: no search was chosen, an option is wrong, or the space has an option that cannot be searched.
    """
    if OmegaConf.select(cfg, "search") is None:
        raise InputError("search: not given; add search=rgi, r_rgi or inpainting")
    options = SearchOptions(**OmegaConf.to_container(cfg.search, resolve=True))
    ranges = dict(leaves(options.space))
    if not ranges:
        raise InputError("search.space: is empty; add options as in conf/search/rgi.yaml")
    for name, values in ranges.items():
        _check_range(cfg, name, values)
    return options


def leaves(space: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The names of all options in a search space, such as solver.mask_penalty, with their list or range of values.

    Args:
        space: nested space, as in conf/search/rgi.yaml.
        prefix: beginning of the names.
    """
    for key, inner in space.items():
        if isinstance(inner, dict) and not inner.keys() & {"low", "high"}:
            yield from leaves(inner, f"{prefix}{key}.")
        elif inner is not None:  # null takes an option out of a preset
            yield f"{prefix}{key}", inner


def _check_range(cfg: DictConfig, name: str, values: Any) -> None:
    """Raise an error if an option cannot be searched, or its values are no list and no range."""
    place, group = f"search.space.{name}", name.partition(".")[0]
    is_baseline = OmegaConf.select(cfg, "baseline") is not None
    if group not in SEARCHED or (group == "solver" and is_baseline):
        groups = ("baseline", "map") if is_baseline else ("solver", "map")
        raise InputError(f"{place}: cannot be searched here; use options of {' and '.join(groups)}")
    if OmegaConf.select(cfg, name, default=ABSENT) is ABSENT:
        raise InputError(f"{place}: {name} is no option; run `python run.py --cfg job` to see all options")
    if isinstance(values, list):
        if values and all(each is None or isinstance(each, bool | int | float | str) for each in values):
            return
        raise InputError(f"{place}={typed(values)}: must be a list of single values, or a range like {{low:1,high:9}}")
    if not isinstance(values, dict) or not {"low", "high"} <= values.keys() <= RANGE:
        raise InputError(f"{place}={typed(values)}: must be a list of values, or a range {{low,high}} with log or step")
    numbers = [values[key] for key in ("low", "high", "step") if values.get(key) is not None]
    if any(isinstance(each, bool) or not isinstance(each, int | float) for each in numbers):
        raise InputError(f"{place}={typed(values)}: low, high and step must be numbers")
    low, high, log = values["low"], values["high"], values.get("log", False)
    if low > high or (log and low <= 0) or (log and "step" in values) or values.get("step", 1) <= 0:
        raise InputError(
            f"{place}={typed(values)}: low must not be above high, low must be above 0 with log, step must be above 0, "
            "and log excludes step"
        )
