"""All configuration files compose, and all experiments run. The tests find new files automatically."""

import csv
import dataclasses
import json
from pathlib import Path

import pytest
import torch
from helpers.composed import CONF, composed
from helpers.tiny_sets import (
    BTAD_TEST,
    CELEBA_TEST,
    CLEAN_TEST,
    ENCODER,
    FOLDER_TEST,
    LATENT,
    MVTEC_TEST,
    NETWORK,
    TILE_TEST,
    write_btad,
    write_celeba,
    write_folder,
    write_generator,
    write_lsun_bedroom,
    write_magnetic_tile,
    write_mvtec,
    write_stanford_cars,
)
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from rgi import SolverConfig, invert, load_gan
from rgi.app import solve
from rgi.app.grid import BASELINES, INPAINTERS, INPAINTING, grid
from rgi.app.grid import SOLVERS as SOLVERS_OF_GRID
from rgi.app.main import TASKS, run_task
from rgi.app.training import train
from rgi.data.sets import magnetic_tile
from rgi.data.sets.textures import Textures
from rgi.errors import InputError
from rgi.evaluation import clean_images
from rgi.report.methods import label

SWEEPS = sorted(CONF.glob("sweep/*.yaml"))  # of W&B
FILES = sorted(
    path.relative_to(CONF).with_suffix("").as_posix() for path in {*CONF.glob("*/**/*.yaml")}.difference(SWEEPS)
)
GROUPS = [name for name in FILES if not name.startswith("experiment/")]
EXPERIMENTS = [name.partition("/")[2] for name in FILES if name.startswith("experiment/")]
# Experiments of the grid that cover each dataset and each method. test_chain.py has those in reference/.
RUN = [
    *(f"mvtec_{method}" for method in (*SOLVERS_OF_GRID, *BASELINES)),
    *(f"celeba_central_{method}" for method in INPAINTERS if method not in SOLVERS_OF_GRID),
    *("textures_rgi", "btad_rgi", "magnetic_tile_rgi", "stanford_cars_random_rgi", "lsun_bedroom_irregular_rrgi"),
]
SOLVERS = [name.partition("/")[2] for name in FILES if name.startswith("solver/")]
FASTER = {"iterations": 3, "tune_from": 1, "pool_size": 8}  # options of a short solver run that takes all branches
LAYOUTS = {
    "btad": (write_btad, BTAD_TEST),
    "celeba": (write_celeba, CELEBA_TEST),
    "lsun_bedroom": (write_lsun_bedroom, CLEAN_TEST),
    "magnetic_tile": (write_magnetic_tile, TILE_TEST),
    "mvtec_ad": (write_mvtec, MVTEC_TEST),
    "stanford_cars": (write_stanford_cars, CLEAN_TEST),
}
COLUMNS = {"method", "name", "kind", "category", "score", "objective", "iterations", "seconds"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(train, "CALIBRATION_IMAGES", 2)
    for limit in ("THRESHOLD_IMAGES", "STATISTICS_IMAGES"):
        monkeypatch.setattr(clean_images, limit, 2)
    monkeypatch.setattr(solve, "BASELINE_IMAGES", 8)
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)


def constants(name: str) -> list[str]:
    """Override with the paper's constants, for solvers that need them."""
    return ["paper=anomaly"] if name.startswith("solver/reference/") else []


def tiny_set(dataset: str, home: Path) -> tuple[list[str], list[str]]:
    """Overrides for a tiny dataset, and the names of its test images. A new dataset needs an entry in `LAYOUTS`."""
    if dataset == "textures":
        tests = Textures("brick", test_images=3).test()
        return ["dataset.test_images=3"], tests.names
    if dataset == "folder":
        folders = write_folder(home / "mine")
        return [*(f"dataset.{name}={path}" for name, path in folders.items()), "dataset.resolution=32"], [*FOLDER_TEST]
    write, names = LAYOUTS[dataset]
    return [f"dataset.root={write(home / dataset)}", "dataset.resolution=32"], list(names)


def targets(node):
    """All ``_target_`` below a plain configuration."""
    if isinstance(node, dict):
        yield from (node["_target_"],) if "_target_" in node else ()
        for value in node.values():
            yield from targets(value)


@pytest.mark.parametrize(("method", "solver"), SOLVERS_OF_GRID.items())
def test_experiments_for_defects_that_are_files_have_the_options_of_the_grid(method, solver):
    expected = composed(f"experiment=textures_{method}").solver
    assert composed(f"experiment=folder_{method}", "dataset.root=photos").solver == expected
    assert composed("experiment=demo").methods[solver] == expected


@pytest.mark.parametrize("name", FILES)
def test_configuration_files_compose(name):
    """All references resolve, and all classes exist."""
    group, _, option = name.rpartition("/") if name.startswith("hydra/") else name.partition("/")
    cfg = composed(f"{group}={option}", *constants(name))
    plain = OmegaConf.to_container(cfg, resolve=True)
    assert cfg.task in TASKS
    for target in targets(plain):
        assert callable(get_object(target))


@pytest.mark.parametrize("name", [name for name in grid() if not name.startswith("reference/")])
def test_experiments_of_the_grid_compose(name):
    """An experiment has a dataset, one method and, for inpainting, a corruption. All references resolve."""
    cfg = composed(f"experiment={name}")
    OmegaConf.to_container(cfg, resolve=True)
    choices = HydraConfig.get().runtime.choices
    dataset, _, method = name.partition("_")
    assert choices.dataset.startswith(dataset)
    assert cfg.name == name
    assert method.endswith(choices.get("baseline") or choices.solver.replace("r_rgi", "rrgi"))
    assert (choices.get("corruption") is not None) == (choices.dataset in INPAINTING)


@pytest.mark.parametrize("name", SOLVERS)
def test_solver_files_are_valid(name):
    """A solver file has exactly the fields of `SolverConfig`."""
    solver = composed(f"solver={name}", *constants(f"solver/{name}")).solver
    assert dataclasses.asdict(SolverConfig(**solver)).keys() == solver.keys()


@pytest.mark.parametrize("name", ["base", "rgi"])
def test_the_default_of_the_library_is_rgi(name):
    assert SolverConfig(**composed(f"solver={name}").solver) == SolverConfig()


@pytest.mark.parametrize("experiment", [*EXPERIMENTS, *RUN])
def test_experiments_run(experiment, tmp_path, capsys):
    first = composed(f"experiment={experiment}")
    choices = HydraConfig.get().runtime.choices
    learned, dataset = choices.get("baseline"), choices.dataset
    methods = [*first.methods] if "methods" in first else [learned or choices.solver.replace("/", "_")]
    overrides, names = tiny_set(dataset, tmp_path)
    overrides += [f"experiment={experiment}", f"output_dir={tmp_path / 'run'}", "debug=true"]
    overrides += [f"generator.path={tmp_path / 'generator.safetensors'}"]
    pretrains = first.task == "pretrain"
    if pretrains:
        overrides += ["batch_size=4", "checkpoint_every=1", f"generator.latent_dim={LATENT}"]
        overrides += ["judge.every=1", "judge.images=2", "judge.samples=16"]
        overrides += ["steps=2", *(f"generator.options.{name}={value}" for name, value in NETWORK.items())]
        overrides += [f"generator.encoder.{name}={value}" for name, value in ENCODER.items()]
    elif learned:
        quick = {"autoencoder": ["steps=2"], "pca": ["components=3"], "robust_pca": ["components=3"]}
        overrides += [f"baseline.{option}" for option in quick.get(learned, [])]
    else:
        solvers = [f"methods.{method}" for method in methods] if "methods" in first else ["solver"]
        overrides += [f"{solver}.{name}={value}" for solver in solvers for name, value in FASTER.items()]
    cfg = composed(*overrides)
    if not pretrains:
        write_generator(tmp_path / "generator.safetensors", cfg.dataset.channels, cfg.dataset.resolution)

    run_task(cfg)

    last = capsys.readouterr().out.splitlines()[-1]
    config = OmegaConf.load(tmp_path / "run/config.yaml")
    assert "${" not in (tmp_path / "run/config.yaml").read_text()
    assert config.name == experiment
    if pretrains:
        check_training(tmp_path, cfg, last)
    else:
        # With the default map, methods with a mask would be compared with methods without a mask.
        assert len(methods) == 1 or cfg.map.kind is not None
        check_inversion(tmp_path / "run", methods, names, last, learned)


def test_an_unfinished_run_of_a_nested_experiment_is_continued(tmp_path, monkeypatch):
    """Its folder is below outputs/reference/textures_rgi/."""
    monkeypatch.chdir(tmp_path)
    generator = write_generator(tmp_path / "generator.safetensors", family="progressive")
    solver = [f"solver.{name}={value}" for name, value in FASTER.items()]
    command = ["experiment=reference/textures_rgi", f"generator.path={generator}", "dataset.test_images=2", *solver]
    run_task(composed(*command, "debug=true"))
    (run,) = (tmp_path / "outputs/reference/textures_rgi").iterdir()
    (run / "metrics.json").unlink()
    results = {path: path.stat().st_mtime_ns for path in run.glob("results/reference_rgi/**/*.npz")}
    run_task(composed(*command, "debug=true"))
    assert (run / "metrics.json").is_file()
    assert len(results) == 2
    assert {path: path.stat().st_mtime_ns for path in run.parent.glob("*/results/**/*.npz")} == results


def check_training(home: Path, cfg: DictConfig, last: str) -> None:
    """The generator file exists, its card names the training data, and an inversion works."""
    assert last == str(home / "generator.safetensors")
    metrics = json.loads((home / "run/metrics.json").read_text())
    gan = load_gan(last)
    assert 0 < gan.card.steps == metrics["steps"] <= cfg.steps == metrics["steps_trained"]
    for measured in ("residuals", "residual_scale", "defect_prior"):
        assert getattr(gan.card, measured) == metrics[measured]
    scores = {"inversion_gap", "swd", "precision", "recall", "kernel_distance", "copies", "defect_auroc_faint"}
    assert scores <= gan.card.quality.keys()
    assert (gan.card.channels, gan.card.resolution) == (cfg.dataset.channels, cfg.dataset.resolution)
    assert gan.card.dataset == HydraConfig.get().runtime.choices.dataset
    assert gan.card.category == cfg.dataset.category or (cfg.dataset.category is None and "root" in gan.card.category)
    assert gan.card.terms
    observed = torch.zeros(1, cfg.dataset.channels, cfg.dataset.resolution, cfg.dataset.resolution)
    found = invert(gan, observed, SolverConfig(mask_penalty="auto", iterations=2, pool_size=4))
    assert torch.isfinite(found.objective).all()


def check_inversion(run: Path, methods: list[str], names: list[str], last: str, learned: str | None) -> None:
    """The folder has all scores, the results and pictures of all images, and the page."""
    assert last == str(run / "report.html")
    scores = json.loads((run / "metrics.json").read_text())
    seeks_defects = OmegaConf.load(run / "config.yaml").get("corruption") is None
    assert list(scores) == methods
    for values in scores.values():
        assert values["images"] == len(names)
        assert 0 <= values["standard/pixel_auroc"] <= 1
        assert values["standard/pixel_auroc_error"] < 1e-3
        assert values["peak_memory_mib"] > 0
        assert ("standard/f1_at_clean_threshold" in values) == seeks_defects
        assert ("reference/auroc" in values) == (not str(learned).startswith(("padim", "patchcore")))
    with (run / "per_image.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    settings = json.loads((run / "environment.json").read_text())["methods"]
    assert list(settings) == methods
    for method, values in settings.items():
        assert values["seconds"] == pytest.approx(sum(float(r["seconds"]) for r in table if r["method"] == method))
        assert ("fit_seconds" in values) == bool(learned)
    assert [(row["method"], row["name"]) for row in table] == [(m, n) for m in methods for n in names]
    assert set(table[0]) >= COLUMNS - ({"objective", "iterations"} if learned else set())
    assert learned or {row["iterations"] for row in table} == {str(FASTER["iterations"])}
    pictures = (run / "pictures").rglob("*.png")
    assert {path.relative_to(run / "pictures").with_suffix("").as_posix() for path in pictures} == set(names)
    page = (run / "report.html").read_text()
    assert all(label(method) in page for method in methods)
    assert all(name in page for name in names)


def test_a_published_split_is_named_in_tables_and_on_the_page(tmp_path, monkeypatch):
    names = tmp_path / "list.txt"
    names.write_text("\n".join(f"exp1_num_{6000 + 1000 * i}" for i in range(18)))
    monkeypatch.setattr(magnetic_tile, "PUBLISHED", names)
    data = [f"dataset.root={write_magnetic_tile(tmp_path / 'tiles')}", "dataset.split=published", "debug=true"]
    cfg = composed("experiment=magnetic_tile_mean_image", *data, f"output_dir={tmp_path / 'run'}")
    assert "magnetic_tile-tile-published-64" in cfg.generator.path
    run_task(cfg)
    with (tmp_path / "run/table.csv").open(newline="") as file:
        assert {(row["dataset"], row["category"]) for row in csv.DictReader(file)} == {
            ("magnetic_tile", "tile-published")
        }
    note = json.loads((tmp_path / "run/environment.json").read_text())["methods"]["mean_image"]["note"]
    assert "never compare scores with those of another split" in note
    assert note in (tmp_path / "run/report.html").read_text()


def folder_task(home: Path, *overrides: str) -> DictConfig:
    """Configuration of a task on own images without true masks."""
    folders = write_folder(home / "mine")
    generator = write_generator(home / "generator.safetensors", channels=3, resolution=32, residuals=False)
    data = [f"dataset.root={folders['root']}", f"dataset.train={folders['train']}", "dataset.resolution=32"]
    run = [f"generator.path={generator}", f"output_dir={home / 'run'}", "debug=true"]
    return composed("dataset=folder", *data, *run, *overrides)


@pytest.mark.parametrize("task", ["invert", "predict"])
def test_images_without_truth_are_restored_but_not_scored(task, tmp_path, capsys):
    """The report of a finished run can also be written again."""
    solver = [f"solver.{name}={value}" for name, value in FASTER.items()]
    run_task(folder_task(tmp_path, f"task={task}", *solver))
    scores = json.loads((tmp_path / "run/metrics.json").read_text())
    assert scores["rgi"].keys() == {"images", "seconds_per_image", "peak_memory_mib", "evaluations_per_image"}
    assert len(list((tmp_path / "run/pictures").rglob("*.png"))) == len(FOLDER_TEST)
    page = tmp_path / "run/report.html"
    first = page.read_text()
    page.unlink()
    run_task(composed("task=report", f"run={tmp_path / 'run'}", "debug=true"))
    assert capsys.readouterr().out.splitlines()[-1] == str(page)
    assert len(page.read_text()) == len(first)


def test_calibration_stores_the_residuals_for_an_automatic_penalty(tmp_path, capsys):
    run_task(folder_task(tmp_path, "task=calibrate"))
    gan = load_gan(tmp_path / "generator.safetensors")
    assert 0 < gan.card.residuals["0.5"] < gan.card.residuals["0.99"]
    invert(gan, torch.zeros(1, 3, 32, 32), SolverConfig(mask_penalty="auto", iterations=1, pool_size=1))
    assert str(tmp_path / "generator.json") in capsys.readouterr().out


@pytest.mark.parametrize("family", [["pca"], ["appearance", "generator.options.shapes=1", "generator.fit.copies=20"]])
def test_a_family_without_training_and_critic_is_fitted_and_inverted(family, tmp_path):
    name, *options = family
    fitted = [f"generator={name}", *options, "generator.latent_dim=4", f"generator.path={tmp_path / 'own.safetensors'}"]
    run_task(folder_task(tmp_path, "task=pretrain", *fitted, f"output_dir={tmp_path / 'fit'}"))
    solver = [f"solver.{name}={value}" for name, value in FASTER.items()]
    run_task(folder_task(tmp_path, "solver.mask_penalty=auto", *fitted, *solver))
    assert (tmp_path / "run/report.html").is_file()


def test_a_fitted_generator_keeps_the_critic_of_a_gan(tmp_path):
    """And its card has the same scores as that of a trained one."""
    source, own = tmp_path / "gan.safetensors", tmp_path / "own.safetensors"
    write_generator(source, channels=3, resolution=32)
    options = [
        "generator=appearance",
        "generator.latent_dim=4",
        "generator.fit.copies=20",
        f"generator.critic={source}",
    ]
    run_task(
        folder_task(tmp_path, "task=pretrain", *options, f"generator.path={own}", f"output_dir={tmp_path / 'fit'}")
    )
    found, expected = load_gan(own), load_gan(source)
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    assert found.critic(images).equal(expected.critic(images))
    assert {"inversion_gap", "swd", "recall", "copies", "defect_auroc_faint"} <= found.card.quality.keys()
    options = [*options[:3], f"generator.critic={own}", f"generator.path={tmp_path / 'again.safetensors'}"]
    with pytest.raises(InputError, match=r"generator.critic=.*: for 32 pixels and 3 channels"):
        run_task(folder_task(tmp_path, "task=pretrain", *options, "dataset.resolution=16"))


@pytest.mark.parametrize("generator", ["appearance", "compact", "pca", "progressive"])
def test_own_folders_have_generator_files_of_their_own(generator):
    """Training and inversion of one folder name the same file; another folder has another one."""

    def path(experiment: str, *options: str) -> str:
        return composed(f"experiment={experiment}", f"generator={generator}", *options).generator.path

    trained = path("folder_pretrain", "dataset.root=photos/test", "dataset.train=photos/clean")
    assert Path(trained).name.startswith("folder-photos-test-64")
    for method in ("anogan", "rgi", "rrgi"):
        assert path(f"folder_{method}", "dataset.root=photos/test/") == trained
    assert path("folder_rgi", "dataset.root=cats/test") != trained
    assert "folder-cats-64" in path("folder_rgi", "dataset.root=cats")
    assert "folder-mine-64" in path("folder_rgi", "dataset.root=cats", "dataset.category=mine")
    assert "textures-brick-64" in path("textures_rgi")
