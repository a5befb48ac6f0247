"""The environment of a run, for ``environment.json``."""

import platform
import subprocess
import sys
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import torch


def environment() -> dict[str, str]:
    """The environment of a run: command, time, commit, device and versions."""
    packages = ("robust-gan-inversion", "torch", "pytorch-lightning", "torchmetrics", "hydra-core")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    return {
        "command": " ".join(["python", *sys.argv]),
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "commit": _commit(),
        "python": platform.python_version(),
        "device": device,
        **{name: version(name) for name in packages},
    }


def _commit() -> str:
    """The commit of the checkout; "unknown" without a checkout or without git."""
    command = ["git", "describe", "--always", "--dirty"]
    try:
        git = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return git.stdout.strip()
