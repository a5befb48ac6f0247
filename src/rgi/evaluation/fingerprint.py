"""Fingerprints: hashes of all that decides the numbers of a result, so that a stored result is reused only if it fits.

Batch size, devices, logger and output folder do not decide numbers and are no part of a fingerprint.
"""

import ast
import hashlib
import json
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

SOURCE = Path(__file__).parents[1]
DECISIVE = ("pixels.py", "data", "generators", "inversion", "baselines", "metrics", "evaluation")  # parts of rgi
LIBRARIES = ("torch", "torchmetrics", "numpy", "scipy", "scikit-image", "scikit-learn", "pillow")


def fingerprint(*parts: Any) -> str:
    """A hash of tensors, networks, bytes, texts, and all that JSON can hold."""
    digest = hashlib.sha256()
    for part in parts:
        content = _content(part)
        digest.update(f"{type(part).__name__} {len(content)} ".encode())
        digest.update(content)
    return digest.hexdigest()[:32]


def _content(part: Any) -> bytes:
    if isinstance(part, nn.Module):
        tensors = part.state_dict()
        return fingerprint(*tensors, *tensors.values()).encode()
    if isinstance(part, Tensor):
        array = np.ascontiguousarray(part.detach().float().cpu().numpy())
        return f"{array.shape}".encode() + array.tobytes()
    if isinstance(part, bytes):
        return part
    return json.dumps(part, sort_keys=True, default=str).encode()


@cache
def code_fingerprint() -> str:
    """A hash of the code that decides numbers: this package without comments and docstrings, and its libraries."""
    files = [path for part in DECISIVE for path in sorted([SOURCE / part, *(SOURCE / part).rglob("*.py")])]
    trees = {str(path.relative_to(SOURCE)): _without_prose(path) for path in files if path.suffix == ".py"}
    return fingerprint(trees, {name: version(name) for name in LIBRARIES})


def _without_prose(path: Path) -> str:
    """The syntax tree of a file without docstrings; comments are no part of it anyway."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [
                statement
                for statement in node.body
                if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
            ]
    return ast.dump(tree)


def image_fingerprints(
    identity: str,
    observed: Tensor,
    mask: Tensor | None,
    clean: Tensor | None,
    defective: Tensor | None,
    counted: Tensor | None = None,
) -> list[str]:
    """The fingerprint of each image's result.

    Args:
        identity: fingerprint of the method, its generator and the code.
        observed: observed images (B,C,H,W).
        mask: true masks (B,1,H,W), or None.
        clean: clean images (B,C,H,W), or None.
        defective: whether each image has a corrupted pixel (B,), or None.
        counted: region that counts (B,1,H,W), or None.
    """
    known = mask, clean, defective, counted
    columns = [[None] * len(observed) if tensor is None else list(tensor) for tensor in known]
    return [fingerprint(identity, image, *truth) for image, *truth in zip(observed, *columns, strict=True)]
