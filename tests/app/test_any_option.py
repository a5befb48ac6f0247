"""Whatever is typed for an option, it is used, or one line names the option."""

import os
from pathlib import Path

import pytest
import torch
from helpers.tiny_sets import (
    write_btad,
    write_celeba,
    write_folder,
    write_lsun_bedroom,
    write_magnetic_tile,
    write_mvtec,
    write_stanford_cars,
)
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rgi.app import grid
from rgi.app.grid import CONF
from rgi.app.options import OPTIONS, check_options, make, solver_config
from rgi.errors import InputError

WRITERS = {
    "btad": write_btad,
    "celeba": write_celeba,
    "lsun_bedroom": write_lsun_bedroom,
    "magnetic_tile": write_magnetic_tile,
    "mvtec_ad": write_mvtec,
    "stanford_cars": write_stanford_cars,
}
SPECIAL = [
    "",
    " ",
    "auto",
    "null",
    "~nobody/x",
    "a/b",
    "a\0b",
    "x" * 300,
    "x/" * 3000,
    "${nope}",
    "two\nlines",
    "\udce9",
]
# Without references, which begin with $, and without folders of this machine such as "/".
TEXTS = st.text().filter(lambda text: "$" not in text and not os.path.exists(text))
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.integers(-2, 70) | st.floats() | TEXTS | st.sampled_from(SPECIAL)
)
VALUES = SCALARS | st.lists(SCALARS, max_size=4) | st.dictionaries(st.text(max_size=5), SCALARS, max_size=3)
CORRUPTIONS = ("central", "defects", "irregular", "mask_folder", "random")
BASELINES = ("autoencoder", "mean_image", "padim", "patchcore", "pca", "robust_pca")
CLEAN = torch.linspace(-1, 1, 16 * 16).reshape(1, 1, 16, 16)


def options_of(file: str, **changes: object) -> dict:
    """The options of a file in conf, without references and without those that the caller must give."""
    options = OmegaConf.to_container(OmegaConf.load(CONF / file), resolve=False)
    options.pop("defaults", None)
    return {name: 0 if value == "${seed}" else value for name, value in options.items()} | changes


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """All datasets in small."""
    home = tmp_path_factory.mktemp("sets")
    for name, write in WRITERS.items():
        write(home / name)
    write_folder(home / "folder")
    return home


@pytest.fixture(scope="module")
def groups(home) -> dict[str, dict]:
    """The options of each choice of a group, by ``group/choice``."""
    grid.register()  # the resolvers of conf
    found = {f"dataset/{name}": options_of(f"dataset/{name}.yaml", root=str(home / name)) for name in WRITERS}
    own = {option: str(home / "folder" / option) for option in ("root", "masks", "train")}
    found["dataset/folder"] = options_of("dataset/folder.yaml", **own)
    found["dataset/textures"] = options_of("dataset/textures.yaml")
    for name in CORRUPTIONS:
        found[f"corruption/{name}"] = options_of(f"corruption/{name}.yaml")
    found["corruption/mask_folder"]["masks"] = str(home / "folder" / "masks")
    for name in BASELINES:
        found[f"baseline/{name}"] = options_of(f"baseline/{name}.yaml")
        if "features" in found[f"baseline/{name}"]:
            found[f"baseline/{name}"]["features"] = {"_target_": "torch.nn.Identity"}
    return found


def attempt(use, names: tuple[str, ...]) -> None:
    """Use something, or get an error of one line with one of the names."""
    try:
        use()
    except (InputError, OmegaConfBaseException) as wrong:
        message = str(wrong)
    else:
        return
    assert any(name in message for name in (*names, "'nope' not found"))


@given(st.data())
def test_any_option_of_a_group_is_used_or_named(home, groups, data):
    chosen = data.draw(st.sampled_from(sorted(groups)))
    group, _, _ = chosen.partition("/")
    options = groups[chosen]
    name = data.draw(st.sampled_from([*sorted({*options} - {"_target_", "features"}), "other"]))
    cfg = OmegaConf.create({"seed": 0, group: options | {name: data.draw(VALUES)}})

    def use() -> None:
        made = make(cfg, group)
        if group == "dataset" and options["_target_"].startswith("rgi.data.sets.textures"):
            return
        if group == "dataset":
            made.prepare()
        if group == "corruption":
            made.check(["a"], 16, lambda: [CLEAN[0], -CLEAN[0]])
            observed, mask = made(CLEAN, "crack/a", lambda: [CLEAN[0], -CLEAN[0]])
            assert observed.isfinite().all()
            assert 0 < mask.mean() < 1

    attempt(use, (f"{group}.{name}", str(home)))


@given(st.data())
def test_any_option_of_the_solver_is_used_or_named(data):
    options = options_of("solver/base.yaml") if (CONF / "solver/base.yaml").exists() else options_of("solver/rgi.yaml")
    name = data.draw(st.sampled_from([*sorted(options), "other"]))
    cfg = OmegaConf.create({"seed": 0, "solver": options | {name: data.draw(VALUES)}})
    attempt(lambda: solver_config(cfg.solver, "rgi", "invert"), (f"solver.{name}",))


@given(st.sampled_from(sorted(OPTIONS)), VALUES)
def test_any_option_of_a_task_is_used_or_named(name, value):
    cfg = OmegaConf.create({})
    OmegaConf.update(cfg, name, value)
    attempt(lambda: check_options(cfg), (f"{name}=",))
