"""The experiments that pair a dataset with a method: made of pieces here, for there would be a hundred files of them.

They are chosen like files of `conf/experiment`: ``experiment=magnetic_tile_padim``, ``experiment=celeba_central_rrgi``,
``experiment=reference/mvtec_rgi``.
"""

from typing import Any

from hydra.core.config_store import ConfigStore

ANOMALY = {"textures": "textures", "mvtec": "mvtec_ad", "btad": "btad", "magnetic_tile": "magnetic_tile"}
INPAINTING = ("celeba", "stanford_cars", "lsun_bedroom")
CORRUPTIONS = ("central", "random", "irregular")
# From clean images, in conf/baseline.
LEARNED = ("mean_image", "pca", "robust_pca", "autoencoder", "padim", "patchcore")
SOLVERS = {"anogan": "anogan", "rgi": "rgi", "rrgi": "r_rgi"}  # in conf/solver
INPAINTERS = {
    "yeh": "yeh",
    "yeh_masked": "yeh_masked",
    "pan": "pan",
    "pan_masked": "pan_masked",
    "rgi": "rgi",
    "rrgi": "r_rgi",
}
# A mask is a map only where it is not zero: it begins at the median of clean residuals.
MAPPED = {"mask_penalty": "auto", "clean_quantile": 0.5}
# Chosen on held-out images, for all sets and corruptions at once: experiments/inpainting/study.py.
MASKED_HOLES = {"mask_penalty": "auto", "clean_quantile": 0.95, "mask_shape": "pixel", "mask_closing": 0.8}
TUNED_FAR = {"lr_generator": 1e-3}
HOLES = {
    "rgi": MASKED_HOLES,
    "r_rgi": MASKED_HOLES | TUNED_FAR,
    "pan": TUNED_FAR,
    "pan_masked": TUNED_FAR,
}
SMALL = {"celeba": ""}  # the published corruptions of cars and bedrooms cover less


def grid() -> dict[str, dict[str, Any]]:
    """Every experiment's content by its name."""
    found = {}
    for prefix, dataset in ANOMALY.items():
        for method, solver in SOLVERS.items():
            options = {} if method == "anogan" else MAPPED
            found[f"{prefix}_{method}"] = _content(options, dataset=dataset, solver=solver)
            found[f"reference/{prefix}_{method}"] = _content(
                {}, dataset=dataset, solver=f"reference/{solver}", paper="anomaly"
            )
        for method in LEARNED:
            found[f"{prefix}_{method}"] = _content({}, dataset=dataset, baseline=method)
    for dataset in INPAINTING:
        for corruption in CORRUPTIONS:
            for method, solver in INPAINTERS.items():
                name = f"{dataset}_{corruption}_{method}"
                options = HOLES.get(solver, {})
                found[name] = _content(options, dataset=dataset, corruption=corruption, solver=solver)
                found[f"reference/{name}"] = _content(
                    {},
                    dataset=dataset,
                    corruption=f"reference/{corruption}{SMALL.get(dataset, '_small')}",
                    solver=f"reference/{solver}",
                    paper=f"{dataset}_{corruption}",
                )
    return found


def _content(options: dict[str, Any], /, **choices: str) -> dict[str, Any]:
    """Overrides of groups, and options of the solver."""
    content: dict[str, Any] = {"defaults": [{f"override /{group}": choice} for group, choice in choices.items()]}
    if options:
        content["solver"] = options
    return content


def register() -> None:
    """Make them choices of Hydra's group ``experiment``, beside the files of `conf/experiment`."""
    for name, content in grid().items():
        folder, _, stem = name.rpartition("/")
        group = f"experiment/{folder}" if folder else "experiment"
        ConfigStore.instance().store(group=group, name=stem, node=content, package="_global_")
