"""The wheel, installed in an environment of its own: the command, the configuration and the generators."""

import json
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from helpers.command_line import ROOT, run

SOURCES = ("src", "conf", "data/generators", "README.md", "LICENSE", "pyproject.toml", "setup.py")
WHEEL_SIZE = 60e6  # bytes, at most


@pytest.fixture(scope="module", autouse=True)
def own_path():
    """The source of this project is on no path."""
    with pytest.MonkeyPatch.context() as change:
        change.delenv("PYTHONPATH", raising=False)
        yield


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy, because a build leaves files beside its sources."""
    copy = tmp_path_factory.mktemp("build")
    for name in SOURCES:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("local", "*.egg-info", ".*"))
        else:
            shutil.copy(ROOT / name, copy / name)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", "dist", "."]
    subprocess.run(build, cwd=copy, check=True, capture_output=True)
    (found,) = (copy / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def programs(wheel, tmp_path_factory) -> Path:
    """The folder of programs of a new environment: the wheel, and the dependencies of this environment."""
    home = tmp_path_factory.mktemp("env")
    venv.create(home, symlinks=True)
    paths = sysconfig.get_paths(vars={"base": str(home), "platbase": str(home)})
    install = [sys.executable, "-m", "pip", "--python", str(home), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    # Files of paths in this folder count for nothing, so the editable installation of this project is not found.
    (Path(paths["purelib"]) / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return Path(paths["scripts"])


def test_the_wheel_has_the_configuration_and_the_shipped_generators(wheel):
    assert wheel.stat().st_size < WHEEL_SIZE
    names = set(zipfile.ZipFile(wheel).namelist())
    for pattern in ("conf/**/*.yaml", "data/generators/*.safetensors", "data/generators/*.json"):
        expected = {f"rgi/files/{file.relative_to(ROOT)}" for file in ROOT.glob(pattern)}
        assert expected
        assert expected <= names
    assert "rgi/data/sets/magnetic_tile_published.txt" in names


def test_the_installed_command_runs_in_any_folder(programs, tmp_path):
    """With a shipped generator, and a configuration of the user's."""
    own = tmp_path / "conf/experiment"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text(
        "# @package _global_\ndefaults: [textures_rgi]\nsolver: {iterations: 2, starts: 1}\n"
    )
    program = [str(programs / "rgi")]
    options = ["--config-dir", str(own.parent), "experiment=mine", "dataset.test_images=2", "map.kind=residual"]
    done = run(tmp_path, *options, "trainer.accelerator=cpu", "output_dir=out", program=program)
    assert done.stdout.splitlines()[-1] == "out/report.html"
    assert json.loads((tmp_path / "out/metrics.json").read_text())["rgi"]["images"] == 2
    script = "import rgi; print(rgi.__file__, rgi.load_gan('textures-brick-64').card.resolution)"
    done = run(tmp_path, "-c", script, program=[str(programs / "python")])
    assert str(programs.parent) in done.stdout
    assert done.stdout.endswith(" 64\n")
