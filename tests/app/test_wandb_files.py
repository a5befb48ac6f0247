"""Files for W&B itself: sweeps, and the script of a view."""

import runpy

import pytest
from helpers.command_line import ROOT
from helpers.composed import CONF, composed
from omegaconf import OmegaConf

from rgi.app.solve import SHOWN


@pytest.mark.parametrize("file", sorted(CONF.glob("sweep/*.yaml")), ids=lambda path: path.stem)
def test_a_sweep_runs_commands_that_compose(file):
    """W&B replaces ``${args_no_hyphens}`` by one value of each parameter."""
    sweep = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    assert (ROOT / sweep["program"]).is_file()
    assert sweep["metric"]["name"] in SHOWN
    start, *fixed, last = sweep["command"]
    assert (start, fixed[:2], last) == ("${env}", ["python", "${program}"], "${args_no_hyphens}")
    values = {name: each.get("values") or [each["min"], each["max"]] for name, each in sweep["parameters"].items()}
    for end in (0, -1):
        chosen = [f"{name}={each[end]}" for name, each in values.items()]
        cfg = composed(*fixed[2:], *chosen)
        assert not cfg.logger.offline
        assert cfg.solver.keys() >= {name.removeprefix("solver.") for name in values if name.startswith("solver.")}


def test_the_view_shows_what_runs_log():
    pytest.importorskip("wandb_workspaces")
    script = runpy.run_path(str(ROOT / "examples/wandb_view.py"))
    view = script["comparison"]("me", "project", "anomaly")
    panels = [panel for section in view.sections for panel in section.panels]
    metrics = {name for panel in panels for name in getattr(panel, "metrics", ())}
    assert {name for name in SHOWN if name.startswith("standard/")} <= metrics
    assert {panel.groupby for panel in panels if hasattr(panel, "groupby")} == {"JobType"}
    assert [section.name[0] for section in view.sections] == ["1", "2", "3", "4", "5"]  # as in docs/wandb.md
