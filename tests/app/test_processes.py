"""Several processes: started by torchrun or srun, and more processes than clean images."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from helpers.command_line import LIMIT, ROOT, TORCHRUN, environment, in_process, run
from helpers.tiny_sets import write_folder, write_generator
from helpers.two_processes import use_few_octaves

TIMING = ("seconds_per_image", "peak_memory_mib")
SETTINGS = ["trainer=ddp", "trainer.accelerator=cpu"]
PROGRAM = ROOT / "tests/helpers/few_bins.py"


@pytest.fixture(autouse=True)
def small_metrics(monkeypatch):
    """This process computes metrics as `PROGRAM` does, and its processes find the tests' modules."""
    use_few_octaves(monkeypatch.setattr)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"), prepend=os.pathsep)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A working folder with a generator and images."""
    folder = tmp_path_factory.mktemp("home")
    write_generator(folder / "generator.safetensors", resolution=32)
    write_folder(folder)
    for number in (18, 19):  # one of the other 18 clean images is a validation image
        (folder / f"train/{number}.png").unlink()
    return folder


def inversion(home: Path, *overrides: str) -> list[str]:
    quick = ["solver.iterations=3", "solver.tune_from=2", "solver.pool_size=4", "solver.mask_penalty=0.1"]
    data = [f"dataset.{name}={home / folder}" for name, folder in (("root", "root"), ("masks", "masks"))]
    size = ["dataset.resolution=32", "dataset.channels=1", f"generator.path={home / 'generator.safetensors'}"]
    return ["experiment=folder_rgi", "trainer.accelerator=cpu", "batch_size=2", *data, *size, *quick, *overrides]


def srun(arguments: list[str], cwd: Path) -> None:
    """Two processes with the variables that srun sets; both must succeed."""
    job = {
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_STEP_ID": "0",
        "SLURM_JOB_NAME": "rgi",
        "SLURM_NODELIST": "localhost",
    }
    size = {"SLURM_NTASKS": "2", "SLURM_NNODES": "1", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NODEID": "0"}
    processes = []
    for rank in ("1", "0"):
        place = {"SLURM_PROCID": rank, "SLURM_LOCALID": rank}
        command = [sys.executable, str(PROGRAM), *arguments]
        with (cwd / f"rank_{rank}.txt").open("w") as output:
            given = environment(cwd) | job | size | place
            processes.append(subprocess.Popen(command, cwd=cwd, env=given, stdout=output, stderr=output))
    for process, rank in zip(processes, ("1", "0"), strict=True):
        assert process.wait(LIMIT) == 0, (cwd / f"rank_{rank}.txt").read_text()


def all_scores(folder: Path) -> dict[str, dict[str, float]]:
    """Scores of each method by its name, in a multirun with the number of its job in front."""
    return {
        method if file.parent == folder else f"{file.parent.name}/{method}": {
            name: value for name, value in found.items() if name not in TIMING
        }
        for file in folder.rglob("metrics.json")
        for method, found in json.loads(file.read_text()).items()
    }


def assert_equal(one: dict[str, dict[str, float]], two: dict[str, dict[str, float]]) -> None:
    assert two.keys() == one.keys()
    for name, values in one.items():
        assert two[name] == pytest.approx(values, abs=1e-6, nan_ok=True), name


def one_folder(base: Path) -> Path:
    (folder,) = base.iterdir()
    return folder


def test_torchrun_scores_methods_like_one_process(home, tmp_path, monkeypatch):
    """Without output_dir, both find the same folder. One process has no clean image, because there is only one."""
    methods = ["anogan", "rgi", "r_rgi", "pan_masked", "reference/r_rgi"]  # which solve in different ways
    few = {"iterations": 3, "tune_from": 1, "pool_size": 4, "mask_penalty": 0.1}
    command = ["task=compare", "paper=celeba_central", "dataset=folder", *inversion(home)[1:8]]
    command.append(f"dataset.train={home / 'train'}")
    for method in methods:
        name = method.replace("/", "_")
        command += [f"+solver@methods.{name}={method}", *(f"methods.{name}.{key}={few[key]}" for key in few)]
    assert in_process(monkeypatch, *command, f"output_dir={tmp_path / 'one'}") == 0
    done = run(tmp_path, *command, *SETTINGS, program=[*TORCHRUN, str(PROGRAM)])
    folder = one_folder(one_folder(tmp_path / "outputs"))
    assert done.stdout.splitlines()[-1] == str(folder.relative_to(tmp_path) / "report.html")
    assert len(list((folder / "validation/rgi").rglob("*.npz"))) == 1
    one, two = all_scores(tmp_path / "one"), all_scores(folder)
    assert len(one) == len(methods)
    assert_equal(one, two)


SMALL_BASELINES = {  # quick options of baselines that learn in different ways
    "autoencoder": "{latent_dim: 4, steps: 4}",
    "patchcore_imagenet": "{patches: 20}",
    "pca": "{components: 4}",
}


def test_a_multirun_of_srun_scores_baselines_like_one_process(home, tmp_path, monkeypatch):
    """The experiments lie in a folder of the user's."""
    own = tmp_path / "conf/experiment"
    own.mkdir(parents=True)
    for name, options in SMALL_BASELINES.items():
        override = f"defaults: [override /baseline: {name}]"
        (own / f"small_{name}.yaml").write_text(f"# @package _global_\n{override}\nbaseline: {options}\n")
    experiments = ",".join(f"small_{name}" for name in SMALL_BASELINES)
    command = [
        "-m",
        "--config-dir",
        str(own.parent),
        f"experiment={experiments}",
        "dataset=folder",
        *inversion(home)[1:],
    ]
    command.append(f"dataset.train={home / 'train'}")
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    monkeypatch.chdir(tmp_path / "one")
    assert in_process(monkeypatch, *command) == 0
    srun([*command, *SETTINGS], tmp_path / "two")
    one, two = all_scores(tmp_path / "one/outputs"), all_scores(tmp_path / "two/outputs")
    assert len(one) == len(SMALL_BASELINES)
    assert_equal(one, two)
    (folder,) = (tmp_path / "two/outputs").glob("multirun/*")
    assert len(pd.read_csv(folder / "table.csv")["job"].unique()) == len(SMALL_BASELINES)
