"""The text of ``--help``: short, and nothing is missing."""

import itertools
import re

from helpers.command_line import in_process
from helpers.composed import CONF

from rgi.app.grid import families, grid


def names(pattern: str) -> list[str]:
    """The names that a pattern with {a,b} stands for."""
    parts = [part.split(",") for part in re.split(r"[{}]", pattern)]
    return ["".join(words) for words in itertools.product(*parts)]


def test_the_families_are_all_generated_experiments():
    patterns = [pattern.partition(" ")[0] for family in families().values() for pattern in family]
    found = [name for pattern in patterns for name in names(pattern)]
    assert len(found) == len(set(found))
    assert set(found) == grid().keys()


def test_the_help_has_every_file_in_a_line_of_its_own(tmp_path, monkeypatch, capsys):
    """With its purpose; files of the user's own folder are there, too."""
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/mine.yaml").write_text("# @package _global_\n# What I study. More of it.\nseed: 1\n")
    assert in_process(monkeypatch, "--help", "--config-dir", str(tmp_path)) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert err == ""
    assert max(map(len, lines)) <= 120
    listed = {line.split()[0]: line.split(None, 1)[1] for line in lines if re.match(" {6}[a-z_]+ +[A-Z]", line)}
    assert listed.keys() == {path.stem for path in CONF.glob("experiment/*.yaml")} | {"mine"}
    assert listed["mine"] == "What I study"
    for pattern in (pattern for family in families().values() for pattern in family):
        assert f"      {pattern}" in lines
    listed = " ".join(out[out.index("Other groups") : out.index("Flags of")].split())
    for folder in (
        path for path in CONF.rglob("*") if path.is_dir() and not {"experiment", "hydra", "sweep"} & {*path.parts}
    ):
        choices = re.search(rf" {folder.relative_to(CONF)}= (.+?)(?= \S+=|$)", listed)[1]
        assert {path.stem for path in folder.glob("*.yaml")} <= set(choices.split(", "))
    assert "launcher= basic, joblib, slurm" in listed
