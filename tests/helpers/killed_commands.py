"""The commands that are killed: every task with results, in a size of a second."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from helpers.tiny_sets import ENCODER, LATENT, NETWORK, write_folder, write_generator

GENERATOR = "gan.safetensors"
PAIR = ("trainer=ddp", "trainer.devices=2")


@dataclass(frozen=True)
class Case:
    """A command.

    Attributes:
        name: name in the list of kills.
        arguments: arguments of the command line.
        needs_generator: whether the working folder must have a generator before.
        processes: number of processes, which are killed together or one alone.
        orphans: whether it starts runs that may survive it.
        runs: number of runs, each with its ``metrics.json``.
        rounds: the command is killed in every ``rounds``-th round only, because it takes long.
    """

    name: str
    arguments: list[str]
    needs_generator: bool = True
    processes: int = 1
    orphans: bool = False
    runs: int = 1
    rounds: int = 1

    def is_finished(self, folder: Path) -> bool:
        """Whether the command is finished, so that the same command would begin anew."""
        runs = [file.parent for file in folder.glob("outputs/folder_*/*/metrics.json")]
        if any(not (run / ".unlogged").exists() for run in runs):
            return True
        multiruns = (file.read_text() for file in folder.glob("outputs/multirun/*/command.json"))
        return any(text and json.loads(text)["finished"] for text in multiruns)

    def prepare(self, home: Path, folder: Path) -> None:
        """Make the working folder."""
        folder.mkdir()
        if self.needs_generator:
            for name in (GENERATOR, Path(GENERATOR).with_suffix(".json").name):
                shutil.copy2(home / name, folder)


def write_home(home: Path) -> None:
    """The images and the generator of all commands."""
    write_folder(home)
    write_generator(home / GENERATOR, channels=3, resolution=32)


def cases(home: Path) -> list[Case]:
    """All commands."""
    data = [f"dataset.{name}={home / name}" for name in ("root", "train")]
    common = [*data, "dataset.resolution=32", f"generator.path={GENERATOR}", "trainer.accelerator=cpu"]
    masked = [*common, f"dataset.masks={home / 'masks'}", "map.false_positive_rate=0.1", "batch_size=1"]
    brief = ["solver.iterations=12", "solver.pool_size=8", "solver.tune_from=6", "solver.mask_penalty=0.1"]
    invert = ["experiment=folder_rgi", "map.kind=null", *masked, *brief]
    encoder = [f"generator.encoder.{name}={value}" for name, value in ENCODER.items()]
    train = ["experiment=folder_pretrain", *common, *encoder, "batch_size=4", "checkpoint_every=4"]
    train += ["judge.every=8", "judge.images=2", "judge.samples=16", f"generator.latent_dim={LATENT}"]
    options = ",".join(f"{name}:{value}" for name, value in NETWORK.items())
    compact = [*train, f"generator.options={{{options}}}", "steps=24"]
    growing = [*train, "generator=progressive", "generator.options.widths=[4,4,2,2]", "steps=28"]
    solvers = ["map.kind=residual", "+solver@methods.rgi=rgi", "+solver@methods.anogan=anogan"]
    solvers += [f"methods.{name}.{each}" for name in ("rgi", "anogan") for each in ("iterations=8", "pool_size=8")]
    own = ["experiment=folder_rrgi", f"generator.path={GENERATOR}", "trainer.accelerator=cpu", "batch_size=1"]
    own += [*brief, "map.features=critic", "fit=tiles"]
    table = ["task=benchmark", "benchmark=demo", "benchmark.methods=[mean_image,pca]", "benchmark.seeds=[0]"]
    table += ["benchmark.sets=[{experiment:textures,options:[]}]", "dataset.test_images=3"]
    return [
        Case("pretrain compact", compact, needs_generator=False),
        Case("pretrain progressive", growing, needs_generator=False),
        Case("pretrain further", compact),
        Case("encode", ["task=encode", "dataset=folder", *common, *encoder, "checkpoint_every=1"]),
        Case("calibrate", ["task=calibrate", "dataset=folder", *common], runs=0),
        Case("calibrate pictures", ["task=calibrate", f"input={home / 'train'}", *own], runs=0),
        Case("predict pictures", ["task=predict", f"input={home / 'root'}", *own], runs=0),
        Case("rgi", invert),
        Case("r_rgi with clean images", [*invert, "solver=r_rgi", "map.kind=normalised"]),
        Case("pca", ["dataset=folder", "baseline=pca", "baseline.components=4", *masked]),
        Case("compare", ["task=compare", "dataset=folder", *masked, *solvers]),
        Case("sweep", ["-m", *invert, "solver.mask_penalty=0.05,0.1,0.2"], runs=3, rounds=4),
        Case("benchmark", [*table, "trainer.accelerator=cpu", "batch_size=1"], False, orphans=True, runs=2, rounds=4),
        Case("pretrain on two", [*compact, *PAIR], needs_generator=False, processes=2, rounds=3),
        Case("rgi on two", [*invert, *PAIR], processes=2, rounds=3),
    ]
