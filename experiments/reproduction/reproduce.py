"""python experiments/reproduction/reproduce.py: the paper's tables, from the training of its GANs to the scores.

The script trains the GAN of each dataset on all GPUs, and then runs all rows of both tables, one on each GPU at a time.
What is finished is skipped, so the same command continues after a kill. ``--estimate`` trains and inverts nothing: it
measures a few steps on one device of this machine, and prints the expected hours on one such device.
"""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from rgi.app import grid
from rgi.generators import progressive
from rgi.generators.store import GAN, Card, save_gan

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = Path(__file__).with_name("published.csv")  # scores of the paper, one row each; empty, see README.md
DATASETS = ("celeba", "stanford_cars", "lsun_bedroom", "btad")
BENCHMARKS = ("reference_inpainting", "reference_anomaly")
PLACE = ["dataset", "category", "corruption", "method", "protocol", "metric"]  # what a score belongs to


def main() -> None:
    """Run or estimate the whole reproduction."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=DATASETS)
    parser.add_argument("--estimate", action="store_true", help="only print the expected hours")
    parser.add_argument("--training", nargs="+", default=[], help="options of all trainings, such as steps=20000")
    parser.add_argument("options", nargs="*", help="options of all commands, such as scale=64")
    given = parser.parse_args()
    grid.register()
    if given.estimate:
        estimate(given.datasets, given.options, given.training)
        return
    gpus = torch.cuda.device_count()
    together = ["trainer=ddp"] if gpus > 1 else []
    for dataset in given.datasets:
        if not generator_file(dataset, given.options).is_file():
            start([*training(dataset, given.options), *given.training, *together])
    side_by_side = ["launcher=joblib", f"launcher.n_jobs={gpus}"] if gpus > 1 else []
    tables = []
    for name, command in benchmarks(given.datasets, given.options):
        start([*command, *side_by_side])
        tables.append(Path("outputs/benchmark") / name / "table.csv")
    compare(tables)


def training(dataset: str, options: list[str]) -> list[str]:
    """Arguments of the training of a dataset's GAN."""
    return [f"experiment=reference/{dataset}_pretrain", *options]


def benchmarks(datasets: list[str], options: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Each benchmark that has rows of these datasets, and its arguments."""
    for name in BENCHMARKS:
        table = OmegaConf.load(grid.CONF / f"benchmark/{name}.yaml")
        rows = [each.experiment for each in table.sets if each.experiment.partition("/")[2].startswith(tuple(datasets))]
        if rows:
            sets = ",".join(f"{{experiment:{row},options:[]}}" for row in rows)
            # As options of the rows, because the benchmark itself has no option such as scale.
            all_options = json.dumps([*table.options, *options])
            yield (
                name,
                [
                    "task=benchmark",
                    f"benchmark={name}",
                    f"benchmark.sets=[{sets}]",
                    f"benchmark.options={all_options}",
                ],
            )


def start(arguments: list[str]) -> None:
    """Run a command of the program; an error ends the script, and the command has printed why."""
    shown = shlex.join(["python", "run.py", *arguments])
    print(shown, flush=True)
    if subprocess.run([sys.executable, str(ROOT / "run.py"), *arguments], check=False).returncode:
        sys.exit(f"error: this command has failed: {shown}")


def composed(dataset: str, options: list[str]) -> DictConfig:
    """The configuration of the training of a dataset's GAN, with Hydra's own part, which names the file."""
    with initialize_config_dir(str(grid.CONF), version_base="1.3"):
        cfg = compose("config", training(dataset, options), return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    return cfg


def generator_file(dataset: str, options: list[str]) -> Path:
    """The file of a dataset's GAN."""
    return Path(str(composed(dataset, options).generator.path))


def estimate(datasets: list[str], options: list[str], of_training: list[str]) -> None:
    """Print the plans of all commands. The time of an inversion does not depend on the weights of the GAN."""
    for dataset in datasets:
        start([*training(dataset, options), *of_training, "dry_run=true"])
    with tempfile.TemporaryDirectory() as folder:
        for dataset in datasets:
            cfg = composed(dataset, options)
            size = {"channels": cfg.dataset.channels, "resolution": cfg.dataset.resolution}
            network = {"latent_dim": cfg.generator.latent_dim, **size}
            widths = OmegaConf.to_container(cfg.generator.options, resolve=True)
            card = Card(family="progressive", options=widths, terms="untrained", **network)
            generator, critic = progressive.build(**network, **widths)
            file = save_gan(GAN(generator, critic, None, card), Path(folder) / f"{dataset}.safetensors")
            for _, command in benchmarks([dataset], [*options, f"generator.path={file}", "generator.other_data=true"]):
                start([*command, "dry_run=true"])


def compare(tables: list[Path]) -> None:
    """Write our mean scores beside those of `PUBLISHED` to comparison.csv beside the first table, and print them."""
    scores = pd.concat([read(table) for table in tables])
    ours = scores.groupby(PLACE)["value"].mean().rename("ours").reset_index()
    published = read(PUBLISHED).rename(columns={"value": "paper"})
    both = ours.merge(published, on=PLACE, how="outer", indicator="in")
    if (unknown := both[both["in"] == "right_only"]).size:
        print(
            f"warning: {PUBLISHED} has scores that no row of ours has:\n{unknown[PLACE].to_string()}", file=sys.stderr
        )
    both = both[both["in"] != "right_only"].drop(columns="in")
    file = tables[0].with_name("comparison.csv")
    both.to_csv(file, index=False)
    print(
        both[both.paper.notna()].to_string()
        if both.paper.notna().any()
        else f"{PUBLISHED} has no scores for these rows"
    )
    print(file)


def read(table: Path) -> pd.DataFrame:
    """Scores of a table; all other columns stay text, because a category such as "03" must not become a number."""
    scores = pd.read_csv(table, dtype=str, keep_default_na=False)
    return scores.assign(value=scores["value"].replace("", "nan").astype(float))


if __name__ == "__main__":
    main()
