"""The command line itself: null, home folders, commas, options of Hydra, and messages of one line."""

import builtins
import io
import os
import shlex
import sys
from pathlib import Path

import pytest
from helpers.command_line import in_process
from helpers.tiny_sets import write_folder, write_generator

SMALL = "dataset.resolution=32 generator.path=gan.safetensors trainer.accelerator=cpu"
QUICK = "solver.iterations=1 solver.pool_size=1 map.false_positive_rate=null"
FOLDER = f"experiment=folder_rgi dataset.root=mine/root dataset.masks=mine/masks {SMALL} {QUICK}"
STOP = "dataset=textures dataset.category=x"  # a mistake that is found after everything that these tests are about
STOPPED = "dataset.category=x: must be one of brick, grass, gravel"


@pytest.fixture
def home(tmp_path, tmp_path_factory, monkeypatch) -> Path:
    """A working directory with images and a generator; it is the home folder, too."""
    write_folder(tmp_path / "mine")
    write_generator(tmp_path / "gan.safetensors", channels=3, resolution=32)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path_factory.getbasetemp() / "matplotlib"))  # else in the home folder
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def refusal(home, monkeypatch, capfd):
    """Run a command that must fail; it prints one line, which is the result, and writes no file."""

    def run(command: str) -> str:
        before = set(home.rglob("*"))
        assert in_process(monkeypatch, *shlex.split(command)) == 1
        assert set(home.rglob("*")) == before
        out, err = capfd.readouterr()
        assert out == ""
        (line,) = err.splitlines()
        assert line.startswith("error: ")
        return line.removeprefix("error: ")

    return run


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("corruption=null", STOPPED),
        ("paper=null baseline=null experiment=null benchmark=null", STOPPED),
        ("experiment=textures_padim baseline=null solver.iterations=0", "solver.iterations=0: must be"),
        ("experiment=reference/textures_rgi paper=null", "solver: needs the paper's constants"),
        ("task=benchmark benchmark=null", "benchmark: not given; add benchmark=anomaly"),
        ("solver=null", "solver=null: no such choice; use one of anogan, base, pan, pan_masked, r_rgi, rgi"),
        ("dataset=null", "dataset=null: no such choice; use one of btad, celeba, folder"),
        ("generator=null", "generator=null: no such choice; use one of appearance, compact, pca, progressive"),
        ("trainer=null", "trainer=null: no such choice; use one of auto, ddp"),
        ("task=null", "task=null: no such choice; use one of benchmark, calibrate"),
        ("~dataset", "~dataset: a run needs this group; remove this argument"),
        ("dataset=3", "dataset=3: no such choice; use one of btad"),
        ("-m corruption=null,central", "corruption=null,central: null cannot be one of several values"),
    ],
)
def test_null_for_a_group(command, expected, refusal):
    """It means the same as in `conf/config.yaml`; a group that a run needs lists its choices."""
    assert refusal(f"{'' if 'dataset' in command else STOP} {command}").startswith(expected)


def test_null_removes_the_choice_of_an_experiment_in_every_job(home, monkeypatch, capsys):
    """Without the corruption, the jobs get as far as the names of the images."""
    (home / "mine/root/000001.jpg").write_bytes((home / "mine/root/a.png").read_bytes())
    command = (
        f"-m experiment=celeba_central_rgi corruption=null dataset=folder dataset.root=mine/root {SMALL} seed=1,-1"
    )
    assert in_process(monkeypatch, *shlex.split(f"{command} {QUICK} solver.mask_penalty=1")) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("error: ")] == [
        "error: job 1: seed=-1: must be a whole number of at least 0 and below 2^32",
        "error: 1 jobs failed: 1; see above",
    ]
    (table,) = home.glob("outputs/multirun/*/0/table.csv")
    assert ",,rgi," in table.read_text()  # dataset, category, no corruption, method


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("dataset=folder dataset.root=~/nowhere", "dataset.root"),
        ("dataset=folder 'dataset.root=\"~/nowhere\"'", "dataset.root"),
        ("dataset=folder dataset.root=mine/root dataset.masks=~/nowhere", "dataset.masks"),
        ("dataset=folder dataset.root=mine/root dataset.train=~/nowhere", "dataset.train"),
        ("corruption=mask_folder corruption.masks=~/nowhere", "corruption.masks"),
        ("generator.path=~/nowhere", "generator.path"),
        ("task=report run=~/nowhere", "run"),
        ("task=convert source=~/nowhere target=x", ""),
    ],
)
def test_a_tilde_is_the_home_folder(command, option, home, refusal):
    assert refusal(command).startswith(f"{option}={home}/nowhere: no such" if option else f"{home}/nowhere: no such")


def test_results_go_to_the_home_folder(home, monkeypatch, tmp_path_factory):
    work = tmp_path_factory.mktemp("work")
    monkeypatch.chdir(work)
    paths = "dataset.root=~/mine/root dataset.masks=~/mine/masks generator.path=~/gan.safetensors output_dir=~/run"
    assert in_process(monkeypatch, *shlex.split(f"{FOLDER} {paths}")) == 0
    assert (home / "run/report.html").is_file()
    assert list(work.iterdir()) == []


def test_a_home_folder_that_does_not_exist(refusal):
    message = refusal(f"{FOLDER} output_dir=~nobody-at-all/x")
    assert message.startswith("output_dir=~nobody-at-all/x: no such home folder; write ./~nobody-at-all/x")


@pytest.mark.parametrize(
    "root", ["photos,old", "photos (1)", 'photos "old", [1]', "photos (back\\slash\\", "~/photos (1)"]
)
def test_the_advised_quotes_can_be_typed(root, home, refusal):
    message = refusal(shlex.join(["dataset=folder", f"dataset.root={root}"]))
    assert message.startswith(f"dataset.root={root}: ")
    _, _, advised = message.partition("in quotes: ")
    assert refusal(f"dataset=folder {advised}") == f"dataset.root={root.replace('~', str(home))}: no such folder; " + (
        "correct the path"
    )


def test_a_comma_may_also_mean_several_runs(refusal):
    assert refusal("seed=0,1").startswith("seed=0,1: a comma separates values; add -m for one run for each value")


@pytest.mark.parametrize(
    ("argument", "remedy"),
    [
        ("hydra.run.dir=X", "output_dir=..."),
        ("hydra.output_subdir=X", "output_dir=..."),
        ("hydra.job.chdir=true", "output_dir=..."),
        ("hydra.sweep.dir=X", "output_dir=..."),
        ("hydra.sweep.subdir=X", "output_dir=..."),
    ],
)
def test_folders_of_hydra_are_refused(argument, remedy, refusal):
    message = refusal(f"{STOP} {argument}")
    assert message.startswith(f"{argument}: is ")
    assert remedy in message


def test_a_multirun_has_the_folders_that_hydra_is_told(home, monkeypatch):
    folders = "hydra.sweep.dir=all 'hydra.sweep.subdir=seed-${seed}'"
    for _ in range(2):  # the second time, both jobs are finished
        assert in_process(monkeypatch, *shlex.split(f"-m {FOLDER} seed=1,2 {folders}")) == 0
    assert {path.name for path in Path("all").iterdir()} == {
        "seed-1",
        "seed-2",
        "table.csv",
        "command.json",
        "multirun.yaml",
    }


MISTAKES = {
    "foo": "foo: is not option=value; run `python run.py --help`",
    "=x": "=x",
    "a..b=1": "a..b=1: is not option=value",
    "benchmark.options=[scale=64]": "benchmark.options=[scale=64]: is not option=value; put each text inside",
    "--nonsense": "unrecognized arguments: --nonsense; run `python run.py --hydra-help`",
    "--cfg": "argument --cfg/-c: expected one argument",
    "-m experiment=mvtec_rgi,folder_rgi dataset.masks=x": "; if a swept choice has this option, type ++dataset.masks=x",
    "experiment=nonsense": "experiment=nonsense: no such choice; use one of btad_anogan",
    "-m launcher=jobs": "hydra/launcher=jobs: no such choice; use one of basic, joblib, slurm",
    "launcher=joblib": "launcher=joblib: launches the jobs of -m or of task=benchmark; add one of them",
    "-m launcher=slurm launcher.partitio=x": "hydra.launcher.partitio=x: no such option; did you mean",
    "experiment=mvtec_rrgy": "experiment=mvtec_rrgy: no such choice; did you mean mvtec_rrgi or mvtec_rgi? run `python",
    "dataset=texture": "dataset=texture: no such choice; did you mean textures? run `python run.py --help`",
    "map.kind=residul": "map.kind=residul: must be one of auto, mask, residual, normalised, combined, or null; did you",
    "solver.mask=profild": "must be one of profiled, adam, given, none; did you mean profiled?",
    "dataset.category=brik": "dataset.category=brik: must be one of brick, grass, gravel; did you mean brick?",
    "dataset=folder dataset.root=mine +dataset.mask=x": "dataset.mask: no such option; did you mean masks? use one of",
    "generator.path=textures-brik-64": "no such file; did you mean textures-brick-64 or ",
    "dataset.roott=x": "dataset.roott=x: no such option; run `python run.py --cfg job`",
    "solver.iteration=9": "no such option; did you mean solver.iterations? run `python run.py --cfg job` to see all",
    "lr_latent=0.1": "lr_latent=0.1: no such option; did you mean solver.lr_latent? run `python run.py --cfg job`",
    "steps=3": "steps=3: no such option",
    "task=pretrain map.kind=mask": "map.kind=mask: no such option",
    "logger.offline=false": "logger.offline=false: no such option",
    "corruption.fraction=0.1": "corruption.fraction=0.1: no such option",
    "+corruption.fraction=0.1": "corruption: has options but no _target_; choose one of conf/corruption",
    "+baseline.components=1 generator.path=large.safetensors": "baseline: has options but no _target_",
    "seed.x=1": "seed.x=1: no such option",
    "+solver.foo=1": "solver.foo: no such option",
    "+logger.foo=1": "logger: CSVLogger.__init__() got an unexpected keyword argument 'foo'; correct the options",
    "logger=wandb +logger.foo=1": "logger.foo: no such option; use one of",
    "logger=wandb logger.offline=abc": "logger.offline=abc: must be true or false",
    "solver.iterations=abc": "solver.iterations=abc: must be a whole number",
    "solver.compile=1": "solver.compile=1: must be true or false",
    "trainer.devices=x": "trainer.devices=x: must be a number of processes",
    "trainer.devices=0": "trainer.devices=0: must be a number of processes",
    "trainer.accelerator=tpuu": "trainer.accelerator=tpuu: must be one of auto, cpu, gpu",
    "trainer.accelerator=mps": "trainer.accelerator=mps: PyTorch finds none; use cpu or auto",
    "seed=1.5": "seed=1.5: must be a whole number",
    "seed=true": "seed=true: must be a whole number",
    "seed=[1,2]": "seed=[1,2]: must be a whole number",
    "debug=abc": "debug=abc: must be true or false",
    "task=compare methods=null": "methods=null: has no methods",
    "corruption=defects corruption.kinds=[crack,crack]": "corruption.kinds=[crack,crack]: has a kind twice",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_one_line(mistake, home, refusal):
    if "large" in mistake:
        write_generator(home / "large.safetensors")
    if "mps" in mistake and os.uname().sysname == "Darwin":
        pytest.skip("this machine may have the accelerator")
    message = refusal(mistake)
    assert MISTAKES[mistake] in message
    assert "None" not in message


@pytest.mark.parametrize(("launcher", "plugin"), [("joblib", "joblib"), ("slurm", "submitit")])
def test_a_launcher_that_is_not_installed(launcher, plugin, refusal, monkeypatch):
    monkeypatch.setitem(sys.modules, f"hydra_plugins.hydra_{plugin}_launcher", None)
    message = refusal(f"-m launcher={launcher} seed=1,2")
    assert message == f"launcher={launcher}: is not installed; pip install 'robust-gan-inversion[clusters]'"


def test_a_launcher_whose_worker_is_killed_is_one_line(home, monkeypatch, capsys):
    def killed(*_: object) -> None:
        raise RuntimeError("A worker process was\nunexpectedly terminated.")

    monkeypatch.setattr("joblib.Parallel.__call__", killed)
    assert in_process(monkeypatch, *shlex.split(f"-m {FOLDER} launcher=joblib seed=1,2")) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "error: launcher=joblib: A worker process was unexpectedly terminated.; type the command again"
    )


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("--help", "python run.py experiment=demo"),
        ("--hydra-help", "--multirun"),
        ("--version", "Hydra"),
        ("--cfg job corruption=null", "corruption: null"),
        ("-sc install=bash", "hydra_bash_completion"),
    ],
)
def test_what_hydra_shows(command, expected, home, monkeypatch, capsys):
    assert in_process(monkeypatch, *shlex.split(command)) == 0
    out, err = capsys.readouterr()
    assert expected in out if "null" not in expected else expected.replace(": null", ":") not in out
    assert err == ""


def test_the_shell_completes_choices(home, monkeypatch, capsys):
    monkeypatch.setenv("COMP_LINE", "python run.py trainer=")
    assert in_process(monkeypatch, "-sc", "query=bash") == 0
    assert "trainer=ddp" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "file"),
    [
        (FOLDER, "mine/root/a.png"),
        (FOLDER, "mine/masks/a.png"),
        (FOLDER, "gan.json"),
        (f"{FOLDER} output_dir=run", "run/results/rgi/a.npz"),
        ("task=convert source=mine/checkpoint.pt target=x", "mine/checkpoint.pt"),
    ],
)
def test_a_file_without_permission_is_called_that(command, file, home, monkeypatch, capsys):
    """Permissions do not bind root, so the error is simulated."""
    Path("mine/checkpoint.pt").touch()
    if "run/" in file:
        assert in_process(monkeypatch, *shlex.split(command)) == 0
        capsys.readouterr()
    real = builtins.open

    def refuse(path, *arguments, **options):
        if isinstance(path, str | os.PathLike) and os.fspath(path).endswith(file):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return real(path, *arguments, **options)

    for module in (builtins, io):
        monkeypatch.setattr(module, "open", refuse)
    assert in_process(monkeypatch, *shlex.split(command)) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert f"{file}: no permission to read" in line
    assert "damaged" not in line
