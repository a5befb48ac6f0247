"""The anomaly map that a run scores: chosen, named, and recorded beside the paper's."""

import csv
import json
from pathlib import Path

import pytest
from helpers.command_line import in_process
from helpers.composed import composed
from helpers.tiny_sets import FOLDER_TEST, write_folder, write_generator

from rgi import load_gan
from rgi.app import runs
from rgi.app.options import image_set
from rgi.baselines import imagenet
from rgi.evaluation import clean_images
from rgi.evaluation.results import load_result

SCORED = {  # options: map of the scores
    "dataset.train=train": "combined with imagenet features, sigma 1",
    "dataset.train=train map.features=critic": "combined with critic features, sigma 1",
    "dataset.train=train map.kind=residual map.sigma=0": "residual",
    "dataset.train=null": "mask, sigma 1",
    "dataset.train=train solver=anogan map.kind=null": "residual, sigma 1",
    "dataset.train=train baseline=pca baseline.components=4 map.sigma=2": "pca, sigma 2",
}


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A working folder with a generator and images."""
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path)
    return write_generator(tmp_path / "gan.safetensors", resolution=32)


def command(*overrides: str) -> list[str]:
    data = ["dataset.root=root", "dataset.masks=masks", "dataset.resolution=32", "dataset.channels=1"]
    quick = ["solver.iterations=3", "solver.pool_size=4", "generator.path=gan.safetensors", "output_dir=run"]
    return ["experiment=folder_rgi", "trainer.accelerator=cpu", *data, *quick, *overrides]


def recorded() -> tuple[dict[str, str], str]:
    """The map of each metric in table.csv, and that of the method in environment.json."""
    with Path("run/table.csv").open(newline="") as file:
        rows = {f"{row['protocol']}/{row['metric']}": row["map"] for row in csv.DictReader(file)}
    (settings,) = json.loads(Path("run/environment.json").read_text())["methods"].values()
    return rows, settings["map"]


@pytest.mark.parametrize("options", SCORED)
def test_a_run_says_which_map_its_scores_are_of(options, home, monkeypatch):
    assert in_process(monkeypatch, *command(*options.split())) == 0
    rows, name = recorded()
    assert name == SCORED[options]
    assert rows["standard/pixel_auroc"] == rows["standard/aupro"] == rows["standard/image_auroc"] == name
    assert {rows[each] for each in rows if "paper_map" in each} <= {"paper"}
    assert ("standard/paper_map_pixel_auroc" in rows) == ("baseline" not in options)
    assert rows["/images"] == ""
    assert name in Path("run/report.html").read_text()


def test_painted_defects_weight_the_map_once(home, monkeypatch):
    monkeypatch.setattr(clean_images, "MIN_PAINTED", 2)
    for again in (False, True):
        if again:
            Path("run/metrics.json").unlink()  # as if the run had been killed at its end
        solved = {path: path.stat().st_mtime_ns for path in Path("run").rglob("*.npz")}
        assert in_process(monkeypatch, *command("dataset.train=train", "map.features=critic")) == 0
        (settings,) = json.loads(Path("run/environment.json").read_text())["methods"].values()
        scores = settings["painted_pixel_auroc"]
        assert list(scores) == ["residual", "PaDiM"]
        shown = f"residual {scores['residual']:.6g}, PaDiM {scores['PaDiM']:.6g}"
        assert shown in Path("run/report.html").read_text()
        assert len(list(Path("run/painted/rgi").rglob("*.npz"))) == 2 * 4  # two held-out images, four kinds of defect
        assert not again or solved == {path: path.stat().st_mtime_ns for path in Path("run").rglob("*.npz")}


@pytest.mark.parametrize(("features", "weights"), [("imagenet", [1, 0.25, 1, 0.25]), ("critic", [1, 1])])
def test_the_parts_begin_with_the_documented_weights(features, weights, home, monkeypatch):
    """Those in docs/methods.md: of the residual, PaDiM, PatchCore, and PaDiM on the critic."""
    seen = []
    monkeypatch.setattr(clean_images, "MIN_PAINTED", 2)
    monkeypatch.setattr(
        clean_images, "weighted_by_painted", lambda clean, *_: (seen.append(clean.weights) or clean, {"residual": 0.5})
    )
    assert in_process(monkeypatch, *command("dataset.train=train", f"map.features={features}")) == 0
    assert seen == [weights]


def test_other_weights_make_another_map(home, monkeypatch):
    """A result of one map is not scored as that of another."""
    monkeypatch.setattr(clean_images, "MIN_PAINTED", 2)
    maps = []
    for weights in ([1.0, 1.0], [0.0, 1.0]):
        changed = lambda clean, *_, weights=weights: (clean.reweighted(weights), {"residual": 0.5})  # noqa: E731
        monkeypatch.setattr(clean_images, "weighted_by_painted", changed)
        Path("run/metrics.json").unlink(missing_ok=True)
        assert in_process(monkeypatch, *command("dataset.train=train", "map.features=critic")) == 0
        maps.append([load_result(Path("run/results/rgi"), name)["map"] for name in FOLDER_TEST])
    assert not any((one == other).all() for one, other in zip(*maps, strict=True))


def test_without_the_extra_the_features_are_those_of_the_critic(home, monkeypatch):
    monkeypatch.setattr(clean_images, "is_installed", lambda: False)
    assert in_process(monkeypatch, *command("dataset.train=train")) == 0
    assert recorded()[1] == "combined with critic features, sigma 1"


def test_a_corrupted_set_has_the_papers_map(home):
    """Its clean images may be those that are corrupted."""
    images = image_set(composed("dataset=textures", "corruption=central"))
    assert clean_images.choose_map("auto", "critic", images, load_gan(home)) == (None, "critic")


def test_a_map_that_was_asked_for_is_never_replaced(home, monkeypatch, capsys):
    assert in_process(monkeypatch, *command("map.kind=combined")) == 1
    assert "dataset.train" in capsys.readouterr().err.splitlines()[-1]


def test_a_damaged_network_is_an_error_and_changes_no_map(home, monkeypatch, capsys):
    monkeypatch.setattr(imagenet, "SHA256", "0" * 64)
    assert in_process(monkeypatch, *command("dataset.train=train")) == 1
    assert "is damaged or of another version; install it again" in capsys.readouterr().err.splitlines()[-1]


def test_a_row_without_the_extra_is_another_row_than_with_it(home, monkeypatch):
    """Or the scores of one map would be reused for the other."""
    keys = []
    for installed in (True, False):
        monkeypatch.setattr(runs, "is_installed", lambda installed=installed: installed)
        keys += [runs.run_fingerprint(composed(*command(f"map.features={each}"))) for each in ("auto", "critic")]
    assert keys[0] != keys[2]
    assert keys[1] == keys[3]
