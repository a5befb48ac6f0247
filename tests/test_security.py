"""No code of this project runs what it reads: no pickle, no shell, no evaluated text."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAMS = [ROOT / "run.py", *sorted((ROOT / "src").rglob("*.py")), *sorted((ROOT / "experiments").rglob("*.py"))]
UNPICKLING = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}  # modules that can run what they read
FORBIDDEN = {  # calls without a safe form
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.jit.load", "torch.hub.load"),
    *("yaml.load", "yaml.full_load", "yaml.unsafe_load", "pd.read_pickle", "pandas.read_pickle"),
    *(f"{module}.{function}" for module in UNPICKLING for function in ("load", "loads", "open", "Unpickler")),
}
REQUIRED = {  # calls that are safe with an argument
    "torch.load": ("weights_only", "True"),
    "np.load": ("allow_pickle", "False"),
    "numpy.load": ("allow_pickle", "False"),
}
# These two catch the error of PyTorch's restricted unpickler.
IMPORTS = {"src/rgi/generators/zoo.py": ["import pickle"], "src/rgi/training/adversarial.py": ["import pickle"]}


def dangers(source: str) -> list[str]:
    """The imports and calls of a program that could run what they read."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [f"import {alias.name}" for alias in node.names if alias.name.split(".")[0] in UNPICKLING]
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [f"from {name}" for name in names if name in FORBIDDEN | REQUIRED.keys()]
        if isinstance(node, ast.Call):
            found += _dangers_of_a_call(node)
    return found


def _dangers_of_a_call(node: ast.Call) -> list[str]:
    called = ast.unparse(node.func)
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    required = [REQUIRED[called]] if called in REQUIRED else []
    if "ckpt_path" in given or called.endswith(".load_from_checkpoint"):  # Lightning reads a checkpoint
        required.append(("weights_only", "True"))
    unsafe = called in FORBIDDEN or any(given.get(name) != value for name, value in required)
    return [called] * unsafe + [name for name in ("shell", "allow_pickle") if given.get(name, "False") != "False"]


@pytest.mark.parametrize(
    "source",
    [
        "import joblib",
        "import pickle as p",
        "from torch import load",
        "from pickle import loads",
        "pickle.loads(x)",
        "torch.load(x)",
        "torch.load(x, weights_only=False)",
        "torch.load(x, weights_only=flag)",
        "np.load(x)",
        "np.load(x, allow_pickle=True)",
        "np.memmap(x, allow_pickle=True)",
        "yaml.load(x, yaml.Loader)",
        "eval(x)",
        "subprocess.run(x, shell=True)",
        "trainer.fit(x, ckpt_path=y)",
        "Training.load_from_checkpoint(x)",
    ],
)
def test_dangers_are_found(source):
    assert dangers(source)


def test_safe_forms_are_no_dangers():
    assert not dangers(
        "torch.load(x, weights_only=True); np.load(x, allow_pickle=False); network.eval(); yaml.safe_load(x)"
        "\ntrainer.fit(x, ckpt_path=y, weights_only=True); subprocess.run(['git'], shell=False)"
    )


def test_no_program_can_run_what_it_reads():
    found = {str(path.relative_to(ROOT)): dangers(path.read_text(encoding="utf-8")) for path in PROGRAMS}
    assert {path: names for path, names in found.items() if names} == IMPORTS
