"""Logs: a run has all its files without a logger, and with one that fails at any point."""

import csv
import functools
import json
import os
import shlex
import sys
from pathlib import Path

import pytest
import wandb
from helpers.command_line import in_process
from helpers.composed import composed
from helpers.tiny_sets import ENCODER, NETWORK, write_folder, write_generator
from pytorch_lightning.loggers import CSVLogger, WandbLogger

from rgi.app import wandb_run

SMALL = "dataset.root=mine/root dataset.masks=mine/masks dataset.resolution=32 trainer.accelerator=cpu"
SMALL += " generator.path=gan.safetensors map.false_positive_rate=null output_dir=run"
METHODS = ("anogan", "rgi")
STOP = "dataset=textures dataset.category=x"  # a mistake that is found after the options of the logger


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A working directory with images and a generator, and no account of W&B."""
    write_folder(tmp_path / "mine")
    write_generator(tmp_path / "gan.safetensors", channels=3, resolution=32)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    return tmp_path


def comparison() -> list[str]:
    """A short comparison of two methods."""
    methods = [f"+solver@methods.{name}={name}" for name in METHODS]
    quick = [f"methods.{name}.{option}" for name in METHODS for option in ("iterations=2", "pool_size=1")]
    return ["task=compare", "dataset=folder", *methods, *quick, *shlex.split(SMALL)]


def training(*overrides: str) -> list[str]:
    """A training of a few steps."""
    data = ["dataset.root=mine/root", "dataset.train=mine/train", "dataset.resolution=32", "trainer.accelerator=cpu"]
    sizes = ["steps=2", "batch_size=4", "checkpoint_every=1", "judge.every=1", "judge.images=2", "judge.samples=16"]
    network = [f"generator.options.{name}={value}" for name, value in NETWORK.items()]
    network += [f"generator.encoder.{name}={value}" for name, value in ENCODER.items()]
    target = ["generator.path=new.safetensors", "output_dir=run"]
    return ["experiment=folder_pretrain", *data, *sizes, *network, *target, *overrides]


def is_complete(folder: Path) -> bool:
    """Whether a comparison has all its files, with all methods in each."""
    scores = json.loads((folder / "metrics.json").read_text())
    with (folder / "per_image.csv").open(newline="") as images, (folder / "table.csv").open(newline="") as table:
        tables = [{row["method"] for row in csv.DictReader(file)} for file in (images, table)]
    page = (folder / "report.html").read_text()
    return all(found == set(METHODS) for found in (set(scores), *tables)) and all(name in page for name in METHODS)


def broken(*_: object, **__: object) -> None:
    raise ConnectionError("no route\nto the host")


@pytest.mark.parametrize("point", ["log_metrics", "save", "finalize"])
def test_a_failing_logger_loses_no_results(point, home, monkeypatch, capsys):
    monkeypatch.setattr(CSVLogger, point, broken)
    if point == "save":  # the method that writes the file, at the end
        monkeypatch.setattr(CSVLogger, "finalize", lambda self, status: self.save())
    assert in_process(monkeypatch, *comparison()) == 1
    assert is_complete(home / "run")
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "run/report.html"
    assert "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert line == err.splitlines()[-1]
    reason = "ConnectionError: no route to the host"
    assert line.startswith(f"error: logger=csv: has failed (anogan: {reason}; rgi: {reason}); all results in run are ")
    assert "logger=null" in line


def test_a_logger_that_cannot_be_made_loses_no_results(home, monkeypatch, capsys):
    """Its options were right when the run began."""
    make, made = CSVLogger.__init__, []

    def once(self, *arguments, **options):
        made.append(options)
        return make(self, *arguments, **options) if len(made) == 1 else broken()

    monkeypatch.setattr(CSVLogger, "__init__", once)
    assert in_process(monkeypatch, *comparison()) == 1
    assert is_complete(home / "run")
    assert "error: logger=csv: has failed (anogan: ConnectionError" in capsys.readouterr().err


def test_a_failing_logger_of_one_method_leaves_the_other_log(home, monkeypatch, capsys):
    log = CSVLogger.log_metrics
    monkeypatch.setattr(
        CSVLogger, "log_metrics", lambda self, *values: broken() if self.version == METHODS[0] else log(self, *values)
    )
    assert in_process(monkeypatch, *comparison()) == 1
    assert "has failed (anogan: ConnectionError: no route to the host); all" in capsys.readouterr().err
    with (home / f"run/log/{METHODS[1]}/metrics.csv").open(newline="") as file:
        *curve, row = csv.DictReader(file)
    assert [float(point["convergence/median"]) > 0 for point in curve] == [True, True]
    scores = json.loads((home / "run/metrics.json").read_text())[METHODS[1]]
    numbers = {name: value for name, value in scores.items() if value is not None}
    assert numbers
    assert {name: float(row[name]) for name in numbers} == pytest.approx(numbers)


@pytest.mark.parametrize(("owner", "point"), [(wandb, "init"), (WandbLogger, "log_table"), (wandb, "finish")])
def test_a_failing_w_and_b_loses_no_results(owner, point, home, monkeypatch, capsys):
    monkeypatch.setattr(owner, point, functools.wraps(getattr(owner, point))(broken))
    assert in_process(monkeypatch, *comparison(), "logger=wandb") == 1
    monkeypatch.undo()
    wandb.finish()
    assert is_complete(home / "run")
    assert "error: logger=wandb: has failed (anogan: ConnectionError" in capsys.readouterr().err


@pytest.mark.parametrize("point", ["log_metrics", "finalize"])
def test_a_failing_logger_ends_no_training(point, home, monkeypatch, capsys):
    monkeypatch.setattr(CSVLogger, point, broken)
    assert in_process(monkeypatch, *training("+trainer.log_every_n_steps=1")) == 1
    assert (home / "new.safetensors").is_file()
    assert json.loads((home / "run/metrics.json").read_text())["steps"]
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: logger=csv: has failed (")
    assert "all results in run are complete" in line


def test_no_logger(home, monkeypatch):
    assert in_process(monkeypatch, *comparison(), "logger=null") == 0
    assert is_complete(home / "run")
    assert in_process(monkeypatch, *training("logger=null", "output_dir=training")) == 0
    assert (home / "new.safetensors").is_file()
    assert not list(home.rglob("log")) + list(home.rglob("lightning_logs")) + list(home.rglob("wandb"))


def test_tensorboard_and_mlflow_have_scores_and_curves(home, monkeypatch):
    """The database of MLflow is replaced by files, because making it takes long."""
    from mlflow.tracking import MlflowClient
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    assert in_process(monkeypatch, *comparison(), "logger=tensorboard") == 0
    store = (home / "mlruns").as_uri()
    assert in_process(monkeypatch, *comparison(), "logger=mlflow", f"logger.tracking_uri={store}") == 0
    client = MlflowClient(store)
    (experiment,) = (each for each in client.search_experiments() if each.name == "robust-gan-inversion")
    runs = {run.data.tags["method"]: run for run in client.search_runs([experiment.experiment_id])}
    for method, scores in json.loads((home / "run/metrics.json").read_text()).items():
        events = EventAccumulator(str(home / "run/log" / method)).Reload()
        for name in ("standard/pixel_auroc", "images"):
            assert events.Scalars(name)[-1].value == pytest.approx(scores[name])
            assert runs[method].data.metrics[name] == pytest.approx(scores[name])
        assert events.Scalars("convergence/median")
        assert runs[method].data.params["dataset/root"] == "mine/root"
        assert runs[method].info.status == "FINISHED"


@pytest.mark.parametrize("extra", ["tensorboard", "mlflow"])
def test_a_logger_that_is_not_installed(extra, home, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, extra, None)
    assert in_process(monkeypatch, *STOP.split(), f"logger={extra}") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: logger={extra}: needs a package that is not installed; pip install ")
    assert f"robust-gan-inversion[{extra}]" in line


@pytest.mark.parametrize(
    ("first", "offline", "same", "name"),
    [
        ("run", False, True, "folder_pretrain-pretrain"),
        ("run", True, False, "folder_pretrain-pretrain_from_7"),
        ("offline-run", True, False, "folder_pretrain-pretrain_from_7"),
        ("offline-run", False, False, "folder_pretrain-pretrain_from_7"),
    ],
)
def test_a_continued_run_is_one_w_and_b_run_or_names_its_first_part(first, offline, same, name, home):
    """W&B cannot continue a run offline."""
    for time in ("20260101_000001-pretrain-11", "20260101_000003-encode-22", "20260101_000002-pretrain-33"):
        Path(f"run/wandb/{first}-{time}").mkdir(parents=True)
    Path("run/environment.json").write_text("{}")
    cfg = composed(*training(), "logger=wandb", f"logger.offline={offline}")
    found = wandb_run.settings(cfg, "pretrain", Path("run"), since=7)
    assert (found["id"] == "pretrain-33") == same
    assert found["config"].get("continues") == (None if same else "pretrain-33")
    assert found["name"] == name
    assert found["job_type"] == "pretrain"


def test_w_and_b_without_a_key_is_refused_before_the_work(home, monkeypatch, capsys):
    command = shlex.split(f"{STOP} logger=wandb logger.offline=false")
    monkeypatch.setenv("HOME", str(home))

    def line() -> str:
        assert in_process(monkeypatch, *command) == 1
        (printed,) = capsys.readouterr().err.splitlines()
        return printed

    message = line()
    assert message.startswith("error: logger.offline=false: Weights & Biases has no key of an account; ")
    assert all(remedy in message for remedy in ("`wandb login`", "WANDB_API_KEY", "logger.offline=true"))
    for name, value in (("WANDB_API_KEY", "0" * 40), ("WANDB_MODE", "offline")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert line().startswith("error: dataset.category=x")
    Path(".netrc").write_text("machine elsewhere login me password x\n")
    assert line() == message
    Path(".netrc").write_text("machine api.wandb.ai login user password 0\n")  # as `wandb login` writes it
    assert line().startswith("error: dataset.category=x")
