"""The task report about several runs."""

import json
from pathlib import Path

import pandas as pd
import pytest
from helpers.composed import composed
from helpers.report_page import Page, image, make_results

from rgi.app.main import run_task

ROWS = [image("crack/a", 0.9), image("good/b", score=0.2)]


def write_run(folder: Path, rows: list[dict], *methods: str, seed: int = 0) -> None:
    """The files of a finished run."""
    for method in methods:
        make_results(folder / "results", method, rows, seed=seed)
    pd.concat([pd.DataFrame(rows).assign(method=each) for each in methods]).to_csv(
        folder / "per_image.csv", index=False
    )
    (folder / "config.yaml").write_text(f"name: {folder.name}\n")
    settings = {method: {"seed": 0} for method in methods}
    (folder / "environment.json").write_text(json.dumps({"command": f"rgi {folder.name}", "methods": settings}))
    scores = {method: {"standard/pixel_auroc": 0.9, "standard/psnr": None, "images": len(rows)} for method in methods}
    (folder / "metrics.json").write_text(json.dumps(scores))


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """Two finished runs of one experiment, one of another, an unfinished one, and a training."""
    monkeypatch.chdir(tmp_path)
    write_run(Path("outputs/mvtec_rgi/1"), ROWS, "rgi")
    write_run(Path("outputs/mvtec_rgi/2"), ROWS, "rgi")
    write_run(Path("outputs/mvtec_padim/1"), ROWS, "padim")
    Path("outputs/mvtec_pca/1/results").mkdir(parents=True)
    Path("outputs/mvtec_pretrain/1").mkdir(parents=True)
    Path("outputs/mvtec_pretrain/1/metrics.json").write_text("{}")
    return tmp_path


def test_several_runs_are_compared_image_by_image(home, capsys, caplog):
    """A pattern may match run folders and folders of runs."""
    with caplog.at_level("WARNING"):
        run_task(composed("task=report", "runs='outputs/mvtec_*'", "debug=true"))
    target = Path(capsys.readouterr().out.strip())
    page = Page(target)
    assert target.parent.parent == Path("outputs/report")
    assert page.data["methods"] == ["PaDiM", "RGI (mvtec_rgi/1)", "RGI (mvtec_rgi/2)"]
    assert page.data["names"] == ["crack/a", "good/b"]
    assert [role for role, _ in page.roles("crack/a")].count("map") == 3
    assert "3 runs compared" in page.text
    for name in ("mvtec_padim/1", "mvtec_rgi/1", "mvtec_rgi/2"):
        assert f"Command of {name} rgi {name[-1]}" in page.text
        assert f"# outputs/{name} name: {name[-1]}" in page.text
    assert len(list(target.parent.glob("pictures/*/*.png"))) == 2
    assert caplog.messages == ["outputs/mvtec_pca/1: is left out, because this run is not finished"]


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ({"rows": [image("x")]}, "shares no image with RGI"),
        ({"rows": ROWS, "seed": 1}, "other/results/pca have different images called crack/a; name runs over"),
    ],
)
def test_runs_over_other_images_are_refused_in_one_line(others, words, home, capsys):
    write_run(Path("other"), others["rows"], "pca", seed=others.get("seed", 0))
    with pytest.raises(SystemExit):
        run_task(composed("task=report", "runs=[outputs/mvtec_rgi/1,other]", "output_dir=page"))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: report: ")
    assert words in line
    assert not Path("page/report.html").exists()


def test_the_page_of_a_run_is_not_replaced_by_a_comparison(home, capsys):
    with pytest.raises(SystemExit):
        run_task(composed("task=report", "runs=outputs/mvtec_rgi", "output_dir=outputs/mvtec_rgi/1"))
    assert "error: output_dir=outputs/mvtec_rgi/1: is the folder of a run" in capsys.readouterr().err
