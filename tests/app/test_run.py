"""Runs in separate processes: files of a run, kills, several processes, and sweeps."""

import csv
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from helpers.command_line import COMMAND, ROOT, environment, in_process, interrupt, run
from helpers.tiny_sets import write_generator
from helpers.wandb_log import logged
from omegaconf import OmegaConf
from PIL import Image

IMAGES, STEPS = 5, 80
METHODS = {"rgi": "textures_rgi", "r_rgi": "textures_rrgi"}
TIMING = ("seconds", "seconds_per_image", "peak_memory_mib")


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A working folder with a generator."""
    folder = tmp_path_factory.mktemp("home")
    write_generator(folder / "generator.safetensors")
    return folder


def inversion(home: Path, *overrides: str, iterations: int = STEPS) -> list[str]:
    """A command that inverts `IMAGES` images one by one, slowly enough for a kill between two images."""
    generator = f"generator.path={home / 'generator.safetensors'}"
    sizes = ["batch_size=1", f"dataset.test_images={IMAGES}", "solver.pool_size=8", f"solver.iterations={iterations}"]
    # There are more clean images than test images.
    quick = ["trainer.accelerator=cpu", "map.false_positive_rate=null", "map.kind=null", "map.sigma=0"]
    return ["experiment=textures_rgi", generator, *quick, *sizes, *overrides]


def results(folder: Path) -> dict[str, Path]:
    """The results files of a run by method and image."""
    base = folder / "results"
    return {path.relative_to(base).with_suffix("").as_posix(): path for path in base.rglob("*.npz")}


def table(folder: Path) -> list[dict[str, str]]:
    """``per_image.csv`` without times and memory, which differ between runs."""
    with (folder / "per_image.csv").open(newline="") as file:
        return [{name: cell for name, cell in row.items() if name not in TIMING} for row in csv.DictReader(file)]


def scores(folder: Path) -> dict[str, dict[str, float]]:
    """``metrics.json`` without times and memory, which differ between runs."""
    found = json.loads((folder / "metrics.json").read_text())
    return {method: {name: v for name, v in values.items() if name not in TIMING} for method, values in found.items()}


@pytest.fixture(scope="module")
def uninterrupted(home) -> tuple[Path, subprocess.CompletedProcess]:
    """A run in the folder of the repository, as in the README."""
    folder = home / "uninterrupted"
    return folder, run(home, *inversion(home, f"output_dir={folder}"), cwd=ROOT)


def test_a_run_writes_all_files(uninterrupted):
    folder, done = uninterrupted
    assert done.stdout.splitlines()[-1] == str(folder / "report.html")
    assert f"{IMAGES * STEPS}/{IMAGES * STEPS}" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    files = {path.name for path in folder.iterdir()}
    assert files >= {"config.yaml", "environment.json", "metrics.json", "per_image.csv", "pictures", "report.html"}
    names = [row["name"] for row in table(folder)]
    assert len(names) == IMAGES
    assert results(folder).keys() == {f"rgi/{name}" for name in names}
    assert all((folder / "pictures" / f"{name}.png").is_file() for name in names)
    assert not list(folder.rglob("*.part"))
    values = scores(folder)["rgi"]
    assert values["images"] == IMAGES
    assert all(np.isfinite(value) for value in values.values())
    assert {"command", "commit", "torch"} <= json.loads((folder / "environment.json").read_text()).keys()


def test_a_killed_run_continues(home, uninterrupted, tmp_path, monkeypatch, capsys):
    """The run is killed twice. The same command finds its folder, and a second process in the folder is refused."""
    base = tmp_path / "outputs/textures_rgi"

    def solved() -> dict[str, int]:
        return {name: path.stat().st_mtime_ns for path in base.glob("*") for name, path in results(path).items()}

    interrupt(home, solved, *inversion(home), cwd=tmp_path)
    (folder,) = base.iterdir()
    first = solved()
    assert 0 < len(first) < IMAGES
    assert not (folder / "metrics.json").exists()

    def intrude() -> None:
        assert in_process(monkeypatch, *inversion(home, f"output_dir={folder}")) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: {folder}: another process is working in this folder; ")

    interrupt(home, lambda: len(solved()) > len(first), *inversion(home), cwd=tmp_path, then=intrude)
    second = solved()
    assert list(base.iterdir()) == [folder]
    assert len(first) < len(second) < IMAGES

    assert in_process(monkeypatch, *inversion(home, f"output_dir={folder}")) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(folder / "report.html")
    assert solved().items() >= second.items() >= first.items()
    assert table(folder) == table(uninterrupted[0])
    assert scores(folder) == scores(uninterrupted[0])


def test_a_folder_belongs_to_one_configuration(home, uninterrupted, monkeypatch, capsys):
    folder, _ = uninterrupted
    assert in_process(monkeypatch, *inversion(home, f"output_dir={folder}", iterations=STEPS + 1)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {folder}: has a run of another configuration")


def together(home: Path, *overrides: str) -> list[str]:
    """A short command with batches of unequal size and all phases of each method."""
    return inversion(home, "solver.tune_from=2", "batch_size=2", *overrides, iterations=6)


@pytest.fixture(scope="module")
def two_processes(home, tmp_path_factory) -> dict[str, Path]:
    """Folders of the methods from a sweep with two processes, logged to W&B, for a user without a home folder."""
    cwd = tmp_path_factory.mktemp("two_processes")
    settings = ["trainer=ddp", "trainer.devices=2", "logger=wandb"]
    command = [*COMMAND, "-m", *together(home, *settings, f"experiment={','.join(METHODS.values())}")]
    unset = ("WANDB_", "XDG_")
    variables = {name: value for name, value in environment(cwd).items() if not name.startswith(unset)}
    variables |= {"HOME": str(cwd / "nowhere"), "WANDB_CACHE_DIR": str(cwd / "own")}
    variables |= {"MPLCONFIGDIR": str(cwd / "matplotlib")}
    done = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (base,) = (cwd / "outputs/multirun").iterdir()
    return {method: base / str(number) for number, method in enumerate(METHODS)}


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_score_like_one(method, home, two_processes, tmp_path, monkeypatch):
    """The number of images is odd, so one process has more images and batches."""
    folder = two_processes[method]
    assert in_process(monkeypatch, *together(home, f"experiment={METHODS[method]}", f"output_dir={tmp_path}")) == 0
    assert results(folder).keys() == results(tmp_path).keys()
    assert len(results(tmp_path)) == IMAGES
    assert scores(folder).keys() == scores(tmp_path).keys() == {method}
    assert scores(tmp_path)[method]["images"] == IMAGES
    assert scores(folder)[method] == pytest.approx(scores(tmp_path)[method], abs=1e-6)
    for found, expected in zip(table(folder), table(tmp_path), strict=True):
        assert found["name"] == expected["name"]
        assert float(found["objective"]) == pytest.approx(float(expected["objective"]), rel=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_the_run_is_logged_to_wandb(method, home, two_processes):
    """The dataset is the group, and the method is the job type. All that W&B shows is in the file."""
    folder = two_processes[method]
    (file,) = folder.glob("wandb/offline-run-*/*.wandb")  # one file, although there are two processes
    found = logged(file)
    assert (found["run"].run_group, found["run"].job_type) == ("textures", method)
    assert [*found["run"].tags] == ["textures", "brick", method, "generator", "standard", "reference"]
    environment = json.loads((folder / "environment.json").read_text())
    assert found["config"]["environment"]["commit"] == environment["commit"]
    config = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
    assert {name: found["config"][name] for name in config} == config
    resolved = environment["methods"][method]
    assert found["config"]["resolved"] == resolved
    assert resolved["precision"] in ("bfloat16", "float32")
    expected = json.loads((folder / "metrics.json").read_text())[method]
    assert {name: found["summary"][name] for name in expected} == expected
    check_table(found["files"], [row["name"] for row in table(folder)])
    histories = [np.load(path)["history"] for path in results(folder).values()]
    curve = [row["convergence/median"] for row in found["history"] if "convergence/median" in row]
    assert curve == pytest.approx(np.median(histories, axis=0).tolist())
    card = json.loads((home / "generator.json").read_text())
    generator = found["artifacts"]["generator"]
    assert json.loads(generator.metadata)["sha256"] == card["sha256"] == resolved["generator_sha256"]
    assert [entry.ref for entry in generator.manifest.contents] == [(home / "generator.safetensors").as_uri()]


def test_w_and_b_stays_in_the_run_folder_without_a_home_folder(two_processes):
    """The user's own folder is used."""
    cwd = two_processes["rgi"].parents[3]
    assert {path.name for path in cwd.iterdir()} <= {"outputs", "own", "matplotlib"}
    assert (cwd / "own").is_dir()


def check_table(files: dict[str, Path], names: list[str]) -> None:
    """The table has one row per image, and its pictures can be read."""
    content = json.loads(files["pictures.table.json"].read_text())
    assert content["columns"] == ["name", "score", "observed", "restored", "map", "truth"]
    assert [row[0] for row in content["data"]] == names
    for _, _, *pictures in content["data"]:
        for picture in pictures:
            with Image.open(files[picture["path"]]) as image:
                assert image.size == (64, 64)


def test_a_launcher_gives_every_job_its_folder(home, tmp_path):
    """Two of four jobs fail, each in a process of its own."""
    sweep = ["solver.mask_penalty=0.05,-1", "dataset.category=brick,grass", "launcher=joblib", "launcher.n_jobs=2"]
    command = [*COMMAND, "-m", *inversion(home, *sweep, "dataset.test_images=2", iterations=3)]
    done = subprocess.run(command, cwd=tmp_path, env=environment(home), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    reason = "solver.mask_penalty=-1: must be a number above 0, or auto"
    assert sorted(errors[:-1]) == [f"error: job {number}: {reason}" for number in (2, 3)]
    assert errors[-1] == "error: 2 jobs failed: 2, 3; see above"
    assert "Traceback" not in done.stderr
    assert [path.name for path in (tmp_path / "outputs").iterdir()] == ["multirun"]
    (base,) = (tmp_path / "outputs/multirun").iterdir()
    folders = [base / "0", base / "1"]
    printed = {line for line in done.stdout.splitlines() if line.endswith("report.html")}
    assert printed == {str(folder / "report.html") for folder in folders}
    with (base / "table.csv").open(newline="") as file:
        joined = list(csv.DictReader(file))
    found = {(line["job"], line["dataset.category"], line["solver.mask_penalty"]) for line in joined}
    assert found == {("0", "brick", "0.05"), ("1", "grass", "0.05")}
    for category, folder in zip(("brick", "grass"), folders, strict=True):
        assert [row["category"] for row in table(folder)] == [category] * 2
        assert "-m experiment=" in json.loads((folder / "environment.json").read_text())["command"]
    assert not (base / ".jobs").exists()


@pytest.mark.parametrize("prefix", ["", "reference/"])
def test_an_unknown_experiment_is_answered_with_the_nearest(prefix, monkeypatch, capsys):
    assert in_process(monkeypatch, f"experiment={prefix}mvtec_rgri") != 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: experiment={prefix}mvtec_rgri: no such choice; did you mean {prefix}mvtec_rgi or ")
