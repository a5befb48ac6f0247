"""The documentation names what exists: every link, every experiment, every command."""

import itertools
import re
import shlex
from pathlib import Path

import pytest
from helpers.composed import CONF, composed

from rgi.app.arguments import prepare
from rgi.app.grid import grid

ROOT = Path(__file__).parents[1]
PAGES = sorted(page for page in ROOT.rglob("*.md") if not {".venv", "outputs", "node_modules"} & set(page.parts))
FILES = {path.relative_to(CONF / "experiment").with_suffix("").as_posix() for path in CONF.glob("experiment/**/*.yaml")}
COMMAND = re.compile(r"^ *(?:python run\.py|rgi) (?P<arguments>.+?)(?: {2,}#.*| +# .*)?$", re.M)


def expand(pattern: str) -> list[str]:
    """The words that a pattern with {a,b} stands for."""
    parts = [part.split(",") for part in re.split(r"[{}]", pattern)]
    return ["".join(words) for words in itertools.product(*parts)]


def commands() -> list:
    """Every command of every page that has a line of its own."""
    return [
        pytest.param(page, shlex.split(found["arguments"]), id=f"{page.relative_to(ROOT)}: {found['arguments']}")
        for page in PAGES
        for found in COMMAND.finditer(page.read_text())
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


def test_the_readme_lists_every_experiment():
    rows = re.findall(r"^\| `([^`]+)` \|", (ROOT / "README.md").read_text(), re.M)
    listed = {name for row in rows for name in expand(row)}
    assert {*grid(), *FILES} - listed == {name for name in (*grid(), *FILES) if name.startswith("reference/")}


@pytest.mark.parametrize(("page", "arguments"), commands())
def test_commands_compose(page, arguments, tmp_path):
    """With every option known. Files of `conf` that the page shows are there; FOLDER is the reader's own."""
    if {"--help", "--cfg"} & set(arguments):
        return
    for name, content in re.findall(r"```yaml\n# conf/(\S+)\n(.+?)```", page.read_text(), re.S):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    options = [argument for argument in prepare(arguments) if argument != "-m"]
    for job in itertools.product(*(expand_sweep(option) if "-m" in arguments else [option] for option in options)):
        composed(f"hydra.searchpath=[file://{tmp_path}]", *job)


def expand_sweep(argument: str) -> list[str]:
    """The values of a multirun's option, one by one."""
    option, _, values = argument.partition("=")
    return [argument] if values.startswith("[") else [f"{option}={value}" for value in values.split(",")]
