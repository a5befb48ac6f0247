"""``dry_run=true``: the plan of a run, after all checks, and nothing is written."""

import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers.command_line import in_process
from helpers.tiny_gan import tiny_gan
from helpers.tiny_sets import write_generator, write_mvtec
from PIL import Image

from rgi import SolverConfig
from rgi.app.dry_run import measure
from rgi.app.dry_run.plan import duration
from rgi.app.grid import compose
from rgi.app.main import TASKS
from rgi.baselines import build
from rgi.training.growing import GrowingTraining
from rgi.training.loader import TrainingData

GOLDEN = Path(__file__).parents[1] / "golden" / "tiny_s3_i96000.pt"
SET = "dataset=mvtec_ad dataset.root=mvtec dataset.resolution=32"
GAN = "generator.path=gan.safetensors"
QUICK = "solver.iterations=3 solver.pool_size=8"
NEW = (
    "generator.path=new.safetensors generator.latent_dim=8 generator.options.width=2 steps=8 batch_size=2 judge.every=4"
)
ENCODER = "generator.encoder.steps=3 generator.encoder.width=2 generator.encoder.max_width=4"
METHODS = "+solver@methods.rgi=rgi +solver@methods.anogan=anogan methods.rgi.iterations=2 methods.anogan.iterations=2"
PHOTOS = f"input=photos {GAN} {QUICK} solver.tune_from=0"
SEARCH = "search=rgi search.trials=3 search.images=[2]"
ROWS = (
    f"benchmark.sets=[{{experiment:mvtec,options:[]}}] benchmark.methods=[mean_image] benchmark.options=[] {SET} {GAN}"
)
COMMANDS = {  # command of each task, and lines of its plan
    "invert": (f"{SET} {GAN} {QUICK}", ["images 4 test, 18 training, 2 held-out", "rgi 3 steps from 8 starts, about"]),
    "predict": (
        f"{SET} {GAN} {QUICK} map.kind=normalised",
        ["with 9 clean images", "writes outputs/predict/<date_time>/"],
    ),
    "compare": (f"{SET} {GAN} {METHODS} 'methods={{}}'", ["rgi 2 steps", "anogan 2 steps", "generator compact, 32"]),
    "report": ("run=run", ["methods rgi", "writes run/report.html"]),
    "pretrain": (f"{SET} {NEW} {ENCODER}", ["training 8 steps of 2 images", "encoder 3 steps", "judgements 2, each"]),
    "encode": (f"{GAN} {ENCODER}", ["training 3 steps of 64 samples", "writes gan.safetensors"]),
    "calibrate": (f"{SET} {GAN} {QUICK}", ["images 2 held-out", "writes gan.json"]),
    "convert": (f"source={GOLDEN} target=new.safetensors", ["progressive, 32 pixels", "writes new.safetensors"]),
    "search": (f"{SET} {GAN} {QUICK} {SEARCH}", ["rgi 3 steps", "for 3 trials", "writes outputs/search/"]),
    "benchmark": (f"benchmark=demo {ROWS}", ["rows 2, 0 of them finished", "mvtec_mean_image 2 seeds, about"]),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    write_mvtec(folder / "mvtec")
    write_generator(folder / "gan.safetensors", resolution=32)
    (folder / "photos").mkdir()
    for number in range(8):
        Image.new("L", (40, 40), 20 * number).save(folder / f"photos/{number}.png")
    (folder / "run/results").mkdir(parents=True)
    for name, content in {
        "metrics.json": '{"rgi": {}}',
        "per_image.csv": "",
        "config.yaml": "name: x",
        "environment.json": "{}",
    }.items():
        (folder / "run" / name).write_text(content)
    return folder


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_plan_and_writes_nothing(task, home, monkeypatch, capsys):
    command, expected = COMMANDS[task]
    check_plan(f"task={task} {command}", expected, home, monkeypatch, capsys)


def check_plan(command, expected, home, monkeypatch, capsys):
    monkeypatch.chdir(home)
    before = sorted(home.rglob("*"))
    assert in_process(monkeypatch, *shlex.split(command), "dry_run=true") == 0
    assert sorted(home.rglob("*")) == before
    plan = " ".join(capsys.readouterr().out.split())
    assert plan.startswith(f"{command.partition(' ')[0].replace('=', ' ')} ")
    for line in expected:
        assert line in plan


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (f"task=predict {PHOTOS}", ["pictures 8 in 8 tiles", "with predictions.csv, restored/, mask/, overlay/"]),
        (f"task=calibrate {PHOTOS} map.kind=residual", ["pictures 8 in 8 tiles", "writes gan"]),
        ("task=report runs=run", ["runs run", "report.html"]),
    ],
)
def test_plans_for_own_pictures_and_several_runs(command, expected, home, monkeypatch, capsys):
    check_plan(command, expected, home, monkeypatch, capsys)


def test_the_fit_of_a_baseline_is_estimated_from_short_ones(monkeypatch):
    """What grows with the images is told from what does not; a trained one has a part of its steps."""
    images, seconds = torch.randn(40, 1, 32, 32, generator=torch.Generator().manual_seed(0)), {8: 1.8, 16: 2.6}
    monkeypatch.setattr(measure, "FIT_OF_BASELINE", 0)
    pca = build("pca", components=8)
    monkeypatch.setattr(pca, "fit", lambda part, device: SimpleNamespace(seconds=seconds[len(part)]))
    assert measure.fitted_baseline(pca, images, 40, torch.device("cpu")).seconds == pytest.approx(1 + 0.1 * 40)
    monkeypatch.setattr(measure, "FIT_OF_BASELINE", 4)
    trained = build("autoencoder", steps=80, width=2, max_width=4)
    assert measure.fitted_baseline(trained, images, 40, torch.device("cpu")).steps == 10
    assert trained.seconds > 0


def test_a_dry_run_makes_the_checks_of_a_run(home, monkeypatch, capsys):
    monkeypatch.chdir(home)
    for option, message in {
        "dataset.resolution=64": "makes 32 pixels and 1 channels, but the dataset has 64",
        "generator.path=gam": "generator.path=gam: no such file; ",
        "-m seed=1,2": "dry_run=true: a multirun has no plan; remove -m",
        "generator.path=new pretrain_if_missing=true": "plan that with: python run.py experiment=mvtec_pretrain ",
    }.items():
        command = ["dry_run=true", *shlex.split(SET), "generator.path=gan.safetensors", *shlex.split(option)]
        assert in_process(monkeypatch, *command) == 1
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "phases", "steps"),
    [
        ({}, [24, 76], [2, 4]),
        ({"tune_generator": True, "iterations": 120, "tune_from": 60}, [24, 36, 60], [2, 6]),
        ({"iterations": 3}, [3], [2, 2]),
        ({"iterations": 9, "trial_steps": 1, "tune_generator": True, "tune_from": 1}, [1, 8], [1, 3]),
    ],
)
def test_a_measurement_has_steps_of_every_phase(options, phases, steps):
    quick, found = measure.shortened(SolverConfig(**options))
    assert found == phases
    assert [quick.trial_steps, quick.iterations] == steps


def test_the_time_of_an_inversion_grows_with_its_steps():
    """By the steps that are not measured: ten times as many take about ten times as long, on any machine."""
    torch.manual_seed(0)
    gan, images = tiny_gan(), torch.zeros(2, 1, 32, 32)
    short, long = (measure.inversion(gan, SolverConfig(iterations=count, starts=1), images) for count in (100, 10000))
    assert long.each > 10 * short.each
    assert measure.Cost(3, 0.5).of(4) == 5


def test_a_growing_training_is_measured_at_all_its_scales(monkeypatch):
    seen = []
    original = GrowingTraining.begin_step
    monkeypatch.setattr(GrowingTraining, "begin_step", lambda self, step: seen.append(step) or original(self, step))
    sizes = {
        "family": "progressive",
        "latent_dim": 4,
        "channels": 1,
        "resolution": 16,
        "options": {"widths": [4, 2, 2]},
    }
    training = GrowingTraining(**sizes, steps=5000, lr=1e-3, betas=(0, 0.9), ema=0.9, seed=0)
    images = torch.zeros(16, 1, 16, 16)
    cost, memory = measure.training(compose(), training, TrainingData(images, 4, 5000, 0))
    assert cost.each > 0
    assert memory > 2**20
    assert {training.scale_and_alpha(step)[0] for step in seen} == {0, 1, 2}


def test_times_are_read_easily():
    assert [duration(each) for each in (0.123, 45, 89, 91, 840, 5400, 40000, 200000)] == [
        *("0.12 s", "45 s", "89 s", "1.5 min", "14 min", "1.5 h", "11 h", "2.3 days")
    ]
