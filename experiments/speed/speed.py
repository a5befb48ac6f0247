"""make speed: ours against the published procedure, inverting and training; writes table.csv and figure.png."""

import argparse
import dataclasses
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from statistics import fmean

import torch
from cases import PENALTY, PUBLISHED, Case, Images, brick, corrupted, our_solver, progressive, tuned_steps
from data_path import data_rows
from loop import Published
from measure import (
    LoopRun,
    PeakMemory,
    hot_spots,
    network_rate,
    parts_of_ours,
    product_rate,
    run_loop,
    run_ours,
    threads_of_loop,
    threads_of_ours,
)
from table import HERE, Row, Table, draw, merged, print_table, read_table, write_table
from torch import Tensor
from tqdm import tqdm
from training import PLANS, training_rows

from rgi import invert
from rgi.generators.store import GAN
from rgi.inversion.objective import data_loss, mask_loss, profile_mask
from rgi.inversion.result import Inversion
from rgi.metrics.curves import auroc_per_image
from rgi.metrics.standard import psnr

CPU = torch.device("cpu")
STEPS = Published.iterations
LEAN_STEPS = 200  # from which the loop without the critic is extrapolated: its iterates are those of the loop with it


@dataclass(frozen=True)
class Sizes:
    """How much is run.

    Attributes:
        images, large_images, gpu_images: that ours inverts at 64 pixels, at 128, and at 128 on a GPU.
        loop_images: of these, how many the published procedure inverts too, in ``loop_steps`` steps.
        sweep: numbers of images over which our time and memory are compared.
        widths: of the network of 128 pixels, None for the paper's.
        product: side of the matrices whose product is timed.
        data_images, data_rounds, data_width: files that the compact GAN of this width is trained on, in so many fits.
    """

    images: int = 32
    large_images: int = 4
    gpu_images: int = 64
    loop_images: int = 4
    loop_steps: int = STEPS
    sweep: tuple[int, ...] = (32, 128, 512)
    widths: list[int] | None = None
    product: int = 2048
    data_images: int = 512
    data_rounds: int = 2
    data_width: int = 16


QUICK = Sizes(4, 2, 2, 1, 20, (2, 4), [16] * 6, 256, 32, 1, 2)


def main() -> None:
    """Measure, print the table, write it and the figure."""
    arguments = parse()
    sizes = QUICK if arguments.quick else Sizes()
    given = {"images": arguments.images, "loop_images": arguments.loop_images}
    sizes = dataclasses.replace(sizes, **{name: value for name, value in given.items() if value})
    rows = on_training(sizes) if arguments.only else measure(sizes)
    folder = HERE.parents[1] / "outputs" / "speed" if arguments.quick else HERE
    table, figure = folder / "table.csv", folder / "figure.png"
    kept = read_table(table) if arguments.only and table.exists() else []
    write_table(merged(kept, rows), table)
    if not arguments.only:  # the figure shows nothing of the training
        draw(table, figure)
    print_table(rows)
    if not torch.cuda.is_available():
        print("\nThe rows of a GPU were not run: there is none here.")
    if arguments.quick:
        print("\nA quick run: its numbers mean nothing.")
    print(f"\n{table}" if arguments.only else f"\n{table}\n{figure}")


def parse() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, help=f"that ours inverts at 64 pixels ({Sizes.images})")
    parser.add_argument("--loop-images", type=int, help=f"that the plain loop inverts, too ({Sizes.loop_images})")
    parser.add_argument("--quick", action="store_true", help="a smoke test of a minute, into outputs/speed")
    parser.add_argument("--only", choices=["training"], help="measure this alone, and keep the table's other rows")
    return parser.parse_args()


def measure(sizes: Sizes) -> list[Row]:
    """The rows of the table, case by case."""
    small = [Case("rgi_64_cpu", "rgi", brick, sizes.images, 50), Case("r_rgi_64_cpu", "r_rgi", brick, sizes.images, 20)]
    rows = product_rates(sizes, CPU)
    for case in small:
        rows += in_full(case, sizes)
    large = Case("rgi_128_cpu", "rgi", lambda: progressive(sizes.widths, CPU), sizes.large_images, 20)
    rows += extrapolated(large, Table(rows).value("rgi_64_cpu", "ours", "steps"))
    if torch.cuda.is_available():
        rows += on_gpu(sizes, torch.device("cuda"))
    rows += on_training(sizes)
    for case in small:
        rows += sweep(case.method, sizes.sweep, int(Table(rows).value(case.name, "ours", "threads")))
    return rows


def on_gpu(sizes: Sizes, device: torch.device) -> list[Row]:
    """The network of 128 pixels in full."""
    rows = product_rates(dataclasses.replace(sizes, product=4 * sizes.product), device)
    for method, target in (("rgi", 100), ("r_rgi", 50)):
        case = Case(f"{method}_128_gpu", method, lambda: progressive(sizes.widths, device), sizes.gpu_images, target)
        rows += in_full(case, sizes)
    return rows


def on_training(sizes: Sizes) -> list[Row]:
    """The step of the progressive GAN, and what files cost the compact one; on a GPU too, if there is one."""
    rows = []
    for device in (CPU, torch.device("cuda")) if torch.cuda.is_available() else (CPU,):
        large = sizes if device == CPU else dataclasses.replace(sizes, product=4 * sizes.product)
        products = product_rates(large, device, f"train_{device.type}")
        rows += products
        for plan in PLANS[device.type]:
            rows += training_rows(plan, sizes.widths, device, {row.metric: row.value for row in products})
        rows += data_rows(sizes.data_images, sizes.data_rounds, sizes.data_width, device)
    return rows


def product_rates(sizes: Sizes, device: torch.device, case: str = "") -> list[Row]:
    """What a plain matrix product achieves in the precisions that networks have."""
    rates = {name: product_rate(sizes.product, getattr(torch, name), device) for name in ("float32", "bfloat16")}
    return [Row(case or device.type, 0, "matmul", name, rate, "GFLOP/s") for name, rate in rates.items()]


def in_full(case: Case, sizes: Sizes) -> list[Row]:
    """Both from start to end, on the same images."""
    gan, write = case.make(), Writer(case)
    config = our_solver(case.method, gan.device)
    images = corrupted(gan, case.images)
    threads = threads_of_ours(gan, images.observed, config, 20)
    ours = run_ours(case.make(), images.observed, config)
    spots = hot_spots(gan, images.observed, config, 10)
    loops, lean_step, loop_threads = loop_runs(gan, images.observed, case.method, sizes)
    start, step = (fmean(getattr(run, name) for run in loops) for name in ("start", "step"))
    rows = write.times(ours.seconds / case.images, start, step, lean_step, sizes.loop_steps != STEPS)
    rows += write.threads(threads, loop_threads)
    rows += write.parts(ours.start, fmean(ours.steps), ours.inversion.iterations.double().mean().item())
    rows += write.rates(network_rate(gan, case.images, config, ours.steps), spots)
    rows += [write("ours", "weight_rate_times_steps", config.lr_generator * tuned_steps(config))]
    return rows + qualities(write, images, ours.inversion, loops)


def loop_runs(gan: GAN, observed: Tensor, method: str, sizes: Sizes) -> tuple[list[LoopRun], float, int]:
    """The loop on the first images, the seconds of its step without the critic, and its threads."""
    published = dataclasses.replace(PUBLISHED[method], iterations=sizes.loop_steps)
    tested = observed[: sizes.loop_images].split(1)
    threads = threads_of_loop(gan, tested[0], published, 20)
    loops = [run_loop(gan, image, published) for image in tested]
    lean = dataclasses.replace(published, run_critic=False, iterations=min(LEAN_STEPS, sizes.loop_steps))
    return loops, run_loop(gan, tested[0], lean, pool_size=1).step, threads


def extrapolated(case: Case, steps: float) -> list[Row]:
    """RGI where a full run takes too long: a few steps of both, and the time of as many as the smaller network took."""
    gan, write, published = case.make(), Writer(case), PUBLISHED[case.method]
    config = our_solver(case.method, gan.device)
    observed = corrupted(gan, case.images).observed
    threads = threads_of_ours(gan, observed, config, 2)
    start, trial, step, final = parts_of_ours(case.make(), observed, config)
    spots = hot_spots(gan, observed, config, 2)
    loop_threads = threads_of_loop(gan, observed[:1], published, 2)
    loop, lean = (
        run_loop(gan, observed[:1], dataclasses.replace(published, iterations=5, run_critic=critic), pool_size=10)
        for critic in (True, False)
    )
    tried = config.trial_steps if config.accelerated else 0
    total = start + tried * trial + (steps - tried) * step + final
    rows = write.times(total / case.images, loop.start, loop.step, lean.step, True, True)
    rows += write.threads(threads, loop_threads) + write.parts(start, step, steps, True)
    rows += write.rates(network_rate(gan, case.images, config.replace(starts=1), [step]), spots)
    return [*rows, write("ours", "trial_step_seconds", trial, "s")]


def sweep(method: str, counts: Sequence[int], threads: int) -> list[Row]:
    """Our time and memory over the number of images, each in a process of its own."""
    rows = []
    for count in tqdm(counts, desc=f"{method}, number of images", leave=False):
        with ProcessPoolExecutor(1, get_context("spawn")) as processes:
            seconds, peak, before = processes.submit(one_count, method, count, threads).result()
        numbers = (("seconds_per_image", seconds, "s"), ("peak_memory", peak, "MiB"), ("memory_before", before, "MiB"))
        rows += [Row(f"{method}_64_cpu_sweep", count, "ours", *number) for number in numbers]
    return rows


def one_count(method: str, count: int, threads: int) -> tuple[float, float, float]:
    """Seconds per image, and memory in MiB at its peak and before."""
    torch.set_num_threads(threads)
    gan = brick()
    observed, config = corrupted(gan, count).observed, our_solver(method, gan.device)
    with PeakMemory() as memory:
        found = invert(gan, observed, config)
    return found.seconds / count, memory.most, memory.before


@dataclass(frozen=True)
class Writer:
    """Makes the rows of a case."""

    case: Case

    def __call__(self, method: str, metric: str, value: float, unit: str = "", extrapolated: bool = False) -> Row:
        images = self.case.images if method == "ours" else 1
        return Row(self.case.name, images, method, metric, float(value), unit, extrapolated)

    def times(
        self, ours: float, start: float, step: float, lean_step: float, loop_scaled: bool, ours_scaled: bool = False
    ) -> list[Row]:
        """Seconds per image of ours, and of the loop from the seconds of its start and of its two kinds of step."""
        rows = [self("ours", "seconds_per_image", ours, "s", ours_scaled), self("ours", "target", self.case.target)]
        for method, seconds, scaled in (("loop", step, loop_scaled), ("loop_without_critic", lean_step, True)):
            total = start + STEPS * seconds
            rows.append(self(method, "seconds_per_image", total, "s", scaled))
            rows.append(self(method, "step_seconds", seconds, "s"))
            rows.append(self("ours", f"speedup_over_{method}", total / ours, "", scaled or ours_scaled))
        return [*rows, self("loop", "start_seconds_per_image", start, "s", ours_scaled)]

    def threads(self, ours: int, loop: int) -> list[Row]:
        """The threads that both ran with."""
        return [self("ours", "threads", ours), self("loop", "threads", loop)]

    def parts(self, start: float, step: float, steps: float, scaled: bool = False) -> list[Row]:
        """Seconds of our start and of a step of the whole batch, and the number of steps."""
        return [
            self("ours", "start_seconds_per_image", start / self.case.images, "s", scaled),
            self("ours", "step_seconds", step, "s"),
            self("ours", "steps", steps, "", scaled),
        ]

    def rates(self, rate: float, spots: dict[str, float]) -> list[Row]:
        """What the networks achieve in our steps, and which operations take how much of our time."""
        shares = [self("ours", f"self_time {operation}", share, "%") for operation, share in spots.items()]
        return [self("ours", "network_rate", rate, "GFLOP/s"), *shares]


def qualities(write: Writer, images: Images, inversion: Inversion, loops: list[LoopRun]) -> list[Row]:
    """Objective, PSNR against the clean image and pixel AUROC of both, means over the images that the loop inverted."""
    observed, clean, wrong = (part[: len(loops)] for part in images)
    restored, mask = (torch.cat([getattr(run, name) for run in loops]) for name in ("restored", "mask"))
    residual = observed - restored
    own = objective(residual, mask)
    theirs = torch.minimum(own, objective(residual, profile_mask(residual, PENALTY, "l2", "channel")))
    ours = inversion.objective[: len(loops)]
    rows = [
        write("ours", "objective", ours.mean()),
        write("loop", "objective", theirs.mean()),
        write("loop", "objective_with_own_mask", own.mean()),
        write("ours", "worst_objective_ratio", (ours / theirs).max()),
    ]
    our_image, our_mask = inversion.restored[: len(loops)], inversion.mask[: len(loops)]
    for method, image, weights in (("ours", our_image, our_mask), ("loop", restored, mask)):
        rows.append(write(method, "psnr", psnr(image, clean).mean(), "dB"))
        for name, score in (("mask", weights), ("residual", observed - image)):
            rows.append(write(method, f"pixel_auroc_{name}", auroc_per_image(score.abs().mean(1), wrong).nanmean()))
    return rows


def objective(residual: Tensor, mask: Tensor) -> Tensor:
    """L per image (B,)."""
    return data_loss(residual, mask, "l2") + mask_loss(mask, PENALTY)


if __name__ == "__main__":
    main()
