"""The task report: the page of a finished run again, or one page about several finished runs."""

import glob
import logging
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from rgi.app import run_files, runs
from rgi.app.dry_run import plan
from rgi.app.options import path_option
from rgi.app.record import method_results, write_page
from rgi.errors import InputError
from rgi.report.methods import MethodResults
from rgi.report.page import write_report

log = logging.getLogger(__name__)
FILES = ("metrics.json", "per_image.csv", "environment.json", "config.yaml", "results")  # of a run that solved images


def report(cfg: DictConfig) -> None:
    """Write the report of a finished run again, or with ``runs`` a report of several in a folder of its own."""
    if cfg.runs is not None:
        print(_report_of_several(cfg))
        return
    folder = path_option(cfg, "run")
    if not folder.is_dir():
        raise InputError(f"run={folder}: no such folder; name a run folder such as outputs/<experiment>/<date_time>")
    if not _is_run(folder):
        raise InputError(f"run={folder}: has no finished results; run the command of this run again to finish it")
    scores = run_files.read_file(folder / "metrics.json")
    if cfg.dry_run:
        print(plan.of_files(cfg, {"run": folder, "methods": ", ".join(scores)}, [str(folder / "report.html")]))
        return
    config = run_files.read_file(folder / "config.yaml", OmegaConf.create)
    print(write_page(folder, config.name, scores))


def _report_of_several(cfg: DictConfig) -> Path | plan.Plan:
    """One page about all runs that ``runs`` names, and their pictures side by side; or the plan of it."""
    patterns = [str(each) for each in cfg.runs] if OmegaConf.is_list(cfg.runs) else [str(cfg.runs)]
    if not patterns:
        raise InputError("runs=[]: has no runs; name run folders, or a pattern such as 'outputs/mvtec_*'")
    folders = list(dict.fromkeys(folder for pattern in patterns for folder in _finished_runs(pattern)))
    target = Path(cfg.output_dir or runs.new_folder(cfg.name))
    if (target / "config.yaml").exists():
        raise InputError(f"output_dir={target}: is the folder of a run, which has a report; name another folder")
    if cfg.dry_run:
        return plan.of_files(cfg, {"runs": ", ".join(map(str, folders))}, [str(target / "report.html")])
    run_files.check_writable(f"output_dir={cfg.output_dir or 'outputs'}", Path(cfg.output_dir or "outputs"))
    names = _short_names(folders)
    commands = {
        f"command of {name}": run_files.read_file(folder / "environment.json").get("command", "")
        for folder, name in names.items()
    }
    configs = "\n".join(f"# {folder}\n{(folder / 'config.yaml').read_text()}" for folder in folders)
    title = f"{len(folders)} run{'s' * (len(folders) > 1)} compared"
    return write_report(target, title, _methods(names), configs, environment=commands)


def _finished_runs(pattern: str) -> list[Path]:
    """The finished runs among the folders that a pattern matches, and in them.

    Raises:
        InputError: there is none.
    """
    matches = [Path(match) for match in sorted(glob.glob(os.path.expanduser(pattern))) if os.path.isdir(match)]
    folders = [folder for match in matches for folder in (match, *sorted(match.iterdir()))]
    found = [folder for folder in folders if _is_run(folder)]
    for folder in folders:
        if (folder / "results").exists() and folder not in found:
            log.warning("%s: is left out, because this run is not finished", folder)
    if not found:
        what = "has no finished run with test images" if matches else "no such folder"
        raise InputError(
            f"runs={pattern}: {what}; name run folders, such as outputs/<experiment>/<date_time>, or folders of runs"
        )
    return found


def _is_run(folder: Path) -> bool:
    return all((folder / name).exists() for name in FILES)


def _short_names(folders: list[Path]) -> dict[Path, str]:
    """Names of run folders without the folder that all of them share."""
    if len(folders) == 1:
        return {folders[0]: folders[0].name}
    shared = os.path.commonpath([folder.absolute() for folder in folders])
    return {folder: folder.absolute().relative_to(shared).as_posix() for folder in folders}


def _methods(names: dict[Path, str]) -> list[MethodResults]:
    """The methods of all runs; those of several runs are told apart by the names of the runs."""
    found = []
    for folder, name in names.items():
        scores = run_files.read_file(folder / "metrics.json")
        found += [(name, method) for method in method_results(folder, scores)]
    counts = Counter(method.method for _, method in found)
    return [replace(method, run=name) if counts[method.method] > 1 else method for name, method in found]
