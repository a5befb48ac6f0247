"""The documentation names what exists: every link, every experiment, every command and option, every script."""

import itertools
import logging
import re
import shlex
from pathlib import Path

import pytest
from helpers.composed import CONF, composed
from mkdocs.commands.build import build
from mkdocs.config import load_config
from omegaconf import DictConfig, OmegaConf

from rgi.app.arguments import prepare
from rgi.app.grid import grid
from rgi.app.options import check_options, solver_config

ROOT = Path(__file__).parents[1]
PAGES = sorted(page for page in ROOT.rglob("*.md") if not {".venv", "outputs", "site"} & set(page.parts))
TYPED = [*PAGES, ROOT / "Makefile", *sorted((ROOT / "examples").glob("*.py"))]  # pages and files with commands in them
FILES = {path.relative_to(CONF / "experiment").with_suffix("").as_posix() for path in CONF.glob("experiment/**/*.yaml")}
START = r"(?:^ *|^\t@echo \" *|`)(?:\. \S+/activate && )?"  # a line of its own, or in backticks in a sentence
COMMAND = re.compile(START + r"(?:python run\.py|rgi|torchrun \S+ run\.py) (?P<arguments>[^`\n]+)", re.M)
SCRIPT = re.compile(START + r"python (?P<script>(?:experiments|examples|tests)/\S+\.py)(?P<arguments>[^`\n]*)", re.M)
TARGET = re.compile(START + r"make (?P<target>[a-z-]+)", re.M)
LINK = re.compile(r"\]\((?P<file>[^)#\s]*)(?:#(?P<anchor>[^)\s]+))?\)")


def words(arguments: str) -> list[str]:
    """The words of a command, without the comment behind it and the end of an echo."""
    return shlex.split(arguments.removesuffix('"').replace('\\"', '"'), comments=True)


def expand(pattern: str) -> list[str]:
    """The words that a pattern with {a,b} stands for."""
    parts = [part.split(",") for part in re.split(r"[{}]", pattern)]
    return ["".join(words) for words in itertools.product(*parts)]


def commands() -> list:
    """Every command of every page, once."""
    found = {}
    for page in TYPED:
        for command in COMMAND.finditer(page.read_text()):
            found.setdefault((page if "```yaml" in page.read_text() else None, *words(command["arguments"])), page)
    return [pytest.param(page, key[1:], id=f"{page.name}: {shlex.join(key[1:])}") for key, page in found.items()]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in LINK.finditer(page.read_text()):
        if link["file"].startswith(("http://", "https://")):
            continue
        target = page.parent / link["file"] if link["file"] else page
        assert target.exists(), link[0]
        if link["anchor"]:
            described = target / "README.md" if target.is_dir() else target
            assert link["anchor"] in anchors(described), link[0]


def test_the_readme_lists_every_experiment():
    rows = re.findall(r"^\| `([^`]+)` \|", (ROOT / "README.md").read_text(), re.M)
    listed = {name for row in rows for name in expand(row)}
    assert {*grid(), *FILES} - listed == {name for name in (*grid(), *FILES) if name.startswith("reference/")}


@pytest.mark.parametrize(("page", "arguments"), commands())
def test_commands_compose(page, arguments, tmp_path):
    """With every option known, and in range. Files of `conf` that the page shows are there; FOLDER is the reader's.

    An experiment that a search writes does not exist yet.
    """
    if {"--help", "--cfg", "experiment=...", "experiment=best"} & set(arguments):
        return
    for name, content in re.findall(r"```yaml\n# conf/(\S+)\n(.+?)```", page.read_text(), re.S):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    found = [f"file://{tmp_path}"]
    if "--config-dir" in arguments:
        folder = arguments[arguments.index("--config-dir") + 1]
        if folder.startswith("outputs/"):  # an earlier command writes it
            return
        found.append(f"file://{ROOT / folder}")
        arguments = [argument for argument in arguments if argument not in ("--config-dir", folder)]
    options = [argument for argument in prepare(list(arguments)) if argument != "-m"]
    for job in itertools.product(*(expand_sweep(option) if "-m" in arguments else [option] for option in options)):
        cfg = composed(f"hydra.searchpath=[{','.join(found)}]", *job)
        cfg.name = cfg.name or cfg.task  # as a run does
        check_options(cfg)
        for name, solver in solvers(cfg).items():
            solver_config(solver, name, cfg.task)


def expand_sweep(argument: str) -> list[str]:
    """The values of a multirun's option, one by one."""
    option, _, values = argument.partition("=")
    return [argument] if values.startswith("[") else [f"{option}={value}" for value in values.split(",")]


def solvers(cfg: DictConfig) -> dict[str, DictConfig]:
    """The options of all methods of a command."""
    if cfg.task == "compare":
        return dict(cfg.methods)
    return {} if OmegaConf.select(cfg, "solver") is None else {"solver": cfg.solver}


def test_scripts_exist_and_have_their_options():
    for page in TYPED:
        for found in SCRIPT.finditer(page.read_text()):
            script = ROOT / found["script"]
            assert script.is_file(), found[0]
            for option in (word for word in words(found["arguments"]) if word.startswith("--")):
                assert f'"{option}"' in script.read_text(), found[0]


def test_the_site_builds_without_warnings(tmp_path, caplog):
    """Docstrings included: mkdocs and its plugins log what they do not understand."""
    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path / "site"))
    build(config)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
    for page, text in {"index.html": "methods/", "api/rgi/index.html": "given_mask"}.items():
        assert text in (tmp_path / "site" / page).read_text()


def test_targets_of_make_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for page in TYPED:
        assert {found["target"] for found in TARGET.finditer(page.read_text())} <= targets, page
