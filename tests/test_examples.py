"""All examples run, in a folder of their own, and say what they found."""

import os
import re
import runpy
import sys
from pathlib import Path

import nbformat
import pytest
from hydra.core.global_hydra import GlobalHydra
from nbclient import NotebookClient
from PIL import Image

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
SAID = {  # what each script prints at the end
    "invert_one_picture": r"outputs/examples/one_picture: 40 steps, \d+\.\d% of the picture is masked",
    "anomaly_maps_of_a_folder": r"0\.\d+  outputs/examples/folder/pictures/0\.png  outputs/examples/folder/maps/0\.png",
    "new_solver": r"rgi_l1: mean pixel AUROC 0\.[89]\d\d of 2 pictures",
    "new_dataset": r"PCA finds the holes: mean pixel AUROC 0\.9\d\d",
    "authors_checkpoint": r"objective \d+\.\d before and \d+\.\d after 20 steps",
}


# wandb_view needs an account of W&B.
@pytest.mark.parametrize("script", sorted({path.stem for path in EXAMPLES.glob("*.py")} - {"wandb_view"}))
def test_scripts(script, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [f"{script}.py"])
    GlobalHydra.instance().clear()
    runpy.run_path(str(EXAMPLES / f"{script}.py"), run_name="__main__")
    said = capsys.readouterr().out.splitlines()
    assert re.fullmatch(SAID[script], said[-1])
    if script == "anomaly_maps_of_a_folder":  # the most suspicious one first
        assert len(said) == 5
        assert said == sorted(said, reverse=True)
    for picture in tmp_path.rglob("*.png"):
        assert Image.open(picture).size == (64, 64)


def test_the_notebook(tmp_path, monkeypatch):
    """It is kept without outputs, and each cell runs."""
    notebook = nbformat.read(EXAMPLES / "quickstart.ipynb", 4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    done = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in done.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 6
    assert sum(output.get("text", "").count("highest score") for output in outputs) == 2
