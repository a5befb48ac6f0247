"""Generated experiments: all pairs of a dataset and a method.

The option ``experiment`` selects a generated experiment in the same way as a file of `conf/experiment`. Examples:
``experiment=magnetic_tile_padim``, ``experiment=celeba_central_rrgi``, ``experiment=reference/mvtec_rgi``. Those in
``reference/`` are the paper's chain, see `rgi.app.chain`.
"""

import dataclasses
from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import Any

import hydra
from hydra import initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf

from rgi.app import chain
from rgi.data.listing import folders_name, named_split
from rgi.generators import places
from rgi.inversion.config import SolverConfig

CONF = places.program_folder("conf")
# Prefixes of experiments and their datasets.
ANOMALY = {"textures": "textures", "mvtec": "mvtec_ad", "btad": "btad", "magnetic_tile": "magnetic_tile"}
INPAINTING = ("celeba", "stanford_cars", "lsun_bedroom")
CORRUPTIONS = ("central", "random", "irregular")
PAINTED = ("crack", "irregular", "large", "scratch")  # kinds of defect on the paper's own anomaly set, BTAD product 03
BASELINES = (  # files of conf/baseline
    *("mean_image", "pca", "robust_pca", "autoencoder", "padim", "patchcore"),
    *("padim_imagenet", "patchcore_imagenet"),
)
SOLVERS = {"anogan": "anogan", "rgi": "rgi", "rrgi": "r_rgi"}  # names in experiments, and files of conf/solver
INPAINTERS = {
    "yeh": "yeh",
    "yeh_masked": "yeh_masked",
    "pan": "pan",
    "pan_masked": "pan_masked",
    "rgi": "rgi",
    "rrgi": "r_rgi",
}
# A prior on z keeps the codes of all methods where those of clean images are. For defects its weight is chosen with
# painted ones: experiments/optimiser.
PRIOR_FOR_HOLES, PRIOR_FOR_DEFECTS = {"latent_weight": "auto"}, {"latent_weight": "defects"}
# Options for defects: masking begins where clean residuals end, so clean detail still guides z: experiments/generators.
MASKED_DEFECTS = {"mask_penalty": "auto", "clean_quantile": 0.99}
# Of R-RGI: θ must not learn damage, so it leaves much out, and moves half as fast: experiments/robustness.
TUNED_DEFECTS = {"mask_hold": 0.5, "hold_quantile": 0.9, "lr_generator": 2.5e-4}
# Screws stand at all angles, so more starts are tried: experiments/anomaly.
MORE_STARTS = {"mvtec": {"starts": 16, "trial_steps": 30}}
BEST_MAP = {"kind": "auto", "sigma": 1}  # the combined map where there are clean images: experiments/anomaly
# Options for inpainting, chosen on held-out images for all datasets and corruptions: experiments/inpainting.
MASKED_HOLES = {
    "mask_penalty": "auto",
    "clean_quantile": 0.95,
    "continuation": 4,
    "mask_shape": "pixel",
    "mask_closing": 0.8,
}
HOLES = {
    "rgi": MASKED_HOLES,
    "r_rgi": MASKED_HOLES | {"mask_hold": 0.3, "lr_generator": 2e-3},
    "pan": {"lr_generator": 2e-3},
    "pan_masked": {"lr_generator": 2e-3},
}
# Ending of the published corruptions of a dataset. The default is _small: conf/corruption/reference/<name>_small.yaml.
SMALL = {"celeba": ""}


@cache
def grid() -> dict[str, dict[str, Any]]:
    """Contents of all generated experiments, by name."""
    experiments = {f"reference/{name}": content for name, content in _references()}
    for prefix, dataset in ANOMALY.items():
        for method, solver in SOLVERS.items():
            options = PRIOR_FOR_DEFECTS | MORE_STARTS.get(prefix, {}) | ({} if method == "anogan" else MASKED_DEFECTS)
            options |= TUNED_DEFECTS if method == "rrgi" else {}
            experiments[f"{prefix}_{method}"] = _content(options, dataset=dataset, solver=solver) | {"map": BEST_MAP}
        for method in BASELINES:
            experiments[f"{prefix}_{method}"] = _content({}, dataset=dataset, baseline=method)
    for method in BASELINES:
        experiments[f"folder_{method}"] = _content({}, dataset="folder", baseline=method)
    for dataset in INPAINTING:
        for corruption in CORRUPTIONS:
            for method, solver in INPAINTERS.items():
                name = f"{dataset}_{corruption}_{method}"
                options = PRIOR_FOR_HOLES | HOLES.get(solver, {})
                experiments[name] = _content(options, dataset=dataset, corruption=corruption, solver=solver)
    return experiments


def _references() -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and contents of the paper's chain: pretraining and inversions of each dataset."""
    for prefix, dataset in {**ANOMALY, **{name: name for name in INPAINTING}}.items():
        yield f"{prefix}_pretrain", chain.pretraining(dataset)
    for method, solver in SOLVERS.items():
        for prefix, dataset in ANOMALY.items():
            yield f"{prefix}_{method}", chain.inversion(dataset, solver=f"reference/{solver}", paper="anomaly")
        for kind in PAINTED:
            choices = {
                "corruption": f"reference/painted_{kind}",
                "solver": f"reference/{solver}",
                "paper": f"btad_{kind}",
            }
            yield f"btad_{kind}_{method}", chain.inversion("btad", **choices)
    for dataset, corruption, (method, solver) in product(INPAINTING, CORRUPTIONS, INPAINTERS.items()):
        yield (
            f"{dataset}_{corruption}_{method}",
            chain.inversion(
                dataset,
                corruption=f"reference/{corruption}{SMALL.get(dataset, '_small')}",
                solver=f"reference/{solver}",
                paper=f"{dataset}_{corruption}",
            ),
        )


def _content(options: dict[str, Any], /, **choices: str) -> dict[str, Any]:
    """Content of an experiment: choices of groups, and options of the solver."""
    content: dict[str, Any] = {"defaults": [{f"override /{group}": choice} for group, choice in choices.items()]}
    if options:
        content["solver"] = options
    return content


def families() -> dict[str, list[str]]:
    """Patterns of the names of all generated experiments, by what they do; ``{a,b}`` stands for a or b."""
    anomaly, own = ",".join(ANOMALY), ",".join((*ANOMALY, "folder"))
    solvers, learned = ",".join(SOLVERS), [name for name in BASELINES if not name.endswith("_imagenet")]
    holes = f"{{{','.join(INPAINTING)}}}_{{{','.join(CORRUPTIONS)}}}_{{{','.join(INPAINTERS)}}}"
    pretrained = ",".join(name.removesuffix("_imagenet") for name in BASELINES if name not in learned)
    return {
        "find defects by inversion": [f"{{{anomaly}}}_{{{solvers}}}"],
        "find defects by a baseline": [
            f"{{{own}}}_{{{','.join(learned)}}}",
            f"{{{own}}}_{{{pretrained}}}_imagenet    (features of a pretrained network)",
        ],
        "restore damaged pictures": [holes],
        "the paper's chain, with the settings of the authors' code": [
            f"reference/{{{','.join((*ANOMALY, *INPAINTING))}}}_pretrain",
            f"reference/{{{anomaly}}}_{{{solvers}}}",
            f"reference/btad_{{{','.join(PAINTED)}}}_{{{solvers}}}",
            f"reference/{holes}",
        ],
    }


class GridSource(ConfigSource):
    """Hydra source of the generated experiments and of ``solver/base``, the defaults of `SolverConfig`.

    Hydra's ConfigStore would be slower, because each access copies its whole content.
    """

    @staticmethod
    def scheme() -> str:
        """Scheme of this source in the search path."""
        return "grid"

    def available(self) -> bool:
        """True: the source needs no files."""
        return True

    def load_config(self, config_path: str) -> ConfigResult:
        """Load the configuration with this path, with or without ``.yaml``."""
        name = config_path.removesuffix(".yaml")
        if name == "solver/base":
            content, package = dataclasses.asdict(SolverConfig()), None
        else:
            content, package = grid()[name.removeprefix("experiment/")], "_global_"
        return ConfigResult(self.provider, self.full_path(), OmegaConf.create(content), {"package": package})

    def is_group(self, config_path: str) -> bool:
        """Whether configurations exist below this path."""
        inner = f"{config_path.strip('/')}/".lstrip("/")
        return any(name.startswith(inner) for name in _names())

    def is_config(self, config_path: str) -> bool:
        """Whether a configuration with this path exists, with or without ``.yaml``."""
        return config_path.removesuffix(".yaml") in _names()

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """The groups and configurations directly below a path, sorted."""
        inner = f"{config_path.strip('/')}/".lstrip("/")
        results: list[str] = []
        for name in sorted({name.removeprefix(inner).partition("/")[0] for name in _names() if name.startswith(inner)}):
            self._list_add_result(results, f"{inner}{name}", name, results_filter)
        return sorted(set(results))


@cache
def _names() -> frozenset[str]:
    return frozenset({"solver/base", *(f"experiment/{name}" for name in grid())})


class GridPath(SearchPathPlugin):
    """Plugin that adds `GridSource` to Hydra's search path, after the files of `conf`."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add `GridSource` to the search path."""
        search_path.append(provider="rgi", path="grid://")


def set_name(*, _root_: DictConfig) -> str:
    """The name of the dataset's images in the default ``generator.path``: the category, or that of the user's folder.

    Patches have a name of their own, because a generator of whole pictures is of no use for them.
    """
    options = ("category", "root", "train", "split", "patch")
    category, root, train, split, patch = (
        OmegaConf.select(_root_, f"dataset.{option}", default=None) for option in options
    )
    name = str(category if category is not None else folders_name(root and str(root), train and str(train)))
    return named_split(name, split) + ("" if patch is None else "-patches")


def register() -> None:
    """Register both plugins with Hydra, and all resolvers; required before Hydra composes a configuration."""
    OmegaConf.register_new_resolver("set_name", set_name, replace=True)
    OmegaConf.register_new_resolver("either", lambda first, second: second if first is None else first, replace=True)
    chain.register()
    Plugins.instance().register(GridSource)
    Plugins.instance().register(GridPath)


def compose(*overrides: str) -> DictConfig:
    """Compose a configuration in scripts, for example ``compose("experiment=celeba_central_rgi")``.

    Args:
        overrides: options as on the command line.
    """
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose("config", list(overrides))
