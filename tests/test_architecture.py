"""Imports only point down, so that the library works without the framework, and its parts without each other."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "rgi"
FRAMEWORK = {"pytorch_lightning", "lightning", "lightning_fabric", "hydra", "omegaconf", "wandb"}
FILES = sorted(SOURCE.rglob("*.py"))
# What each part may import of the package besides itself; a part is a subpackage or a file at the top level.
LIBRARY = {
    "__init__": {"generators", "inversion"},
    "errors": set(),
    "pixels": set(),
    "validation": {"errors"},
    "generators": {"errors"},
    "inversion": {"errors", "generators", "pixels", "validation"},
    "baselines": {"errors", "generators", "pixels", "validation"},
    "data": {"errors", "validation"},
    "metrics": {"errors"},
}
ALLOWED = LIBRARY | {
    "training": {"errors", "generators", "inversion", "data", "metrics", "validation"},
    "evaluation": {"errors", "pixels", "generators", "inversion", "baselines", "data", "metrics"},
    "report": {"errors", "evaluation"},
}


def part_of(path: Path) -> str:
    """The package or top-level module that a file belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Dotted names of all modules a file imports, anywhere in it; a name imported from a module counts as one."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def packages(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(path)}


PARTS = {part_of(path) for path in FILES}


def own_parts(path: Path) -> set[str]:
    """The parts of our package that a file imports; whatever is no part of its own comes from ``__init__``."""
    inner = {name.split(".")[1] for name in imports(path) if name.startswith("rgi.")}
    return {part if part in PARTS else "__init__" for part in inner}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_imports_point_down(path):
    part, forbidden = part_of(path), {"torchvision", "resource"}  # resource exists on Unix only
    if part in LIBRARY | {"report": set()}:
        forbidden |= {"pytorch_lightning", "lightning", "lightning_fabric"}
    if part != "app":
        forbidden |= {"hydra", "omegaconf", "wandb"}
    assert own_parts(path) - {part} <= ALLOWED.get(part, PARTS - {"__init__"})
    assert not packages(path) & forbidden


def test_nothing_below_imports_the_command_line():
    below = [path for path in FILES if part_of(path) != "app"]
    assert not [path for path in below if any(name.startswith("rgi.app") for name in imports(path))]


def test_the_library_loads_without_the_framework():
    """What the imports say holds of what is loaded, too: nothing pulls the framework in through a third package."""

    command = (
        "import sys; from rgi import invert, load_gan; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    loaded = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True).stdout.split()
    assert not FRAMEWORK & set(loaded)
    assert "rgi" in loaded
