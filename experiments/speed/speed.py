"""make speed: compare the speed of our inversion and training with the published procedure.

The script writes table.csv and figure.png.
"""

import argparse
import dataclasses
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from statistics import fmean

import torch
from cases import PENALTY, PUBLISHED, Case, Images, brick, corrupted_images, faces, our_solver, progressive, tuned_steps
from data_path import data_rows
from loop import Published
from measure import (
    LoopRun,
    hot_spots,
    network_rate,
    parts_of_ours,
    product_rate,
    run_loop,
    run_ours,
    threads_of_loop,
    threads_of_ours,
)
from table import HERE, Row, Table, draw, merge_rows, print_table, read_table, write_table
from torch import Tensor
from tqdm import tqdm
from training import PLANS, training_rows

from rgi import invert
from rgi.evaluation.memory import PeakMemory
from rgi.generators.store import GAN
from rgi.inversion.objective import data_loss, mask_loss, profile_mask
from rgi.inversion.result import Inversion
from rgi.metrics.curves import auroc_per_image
from rgi.metrics.standard import psnr

CPU = torch.device("cpu")
STEPS = Published.iterations
LEAN_STEPS = 200  # steps of the loop without the critic; its time is extrapolated to `STEPS` steps


@dataclass(frozen=True)
class Sizes:
    """Sizes of the measurements.

    Attributes:
        images: number of images for our solver at 64 pixels.
        large_images: number of images for our solver at 128 pixels on the CPU.
        gpu_images: number of images for our solver at 128 pixels on a GPU.
        loop_images: number of images for the published procedure; the first images of our solver.
        loop_steps: number of steps of the published procedure.
        sweep: numbers of images for our time and memory over the number of images.
        widths: feature maps of the network for 128 pixels; None for the paper's.
        product: side length of the matrices in the timed product.
        data_images: number of image files for the training of the compact GAN.
        data_rounds: number of fits from files and from memory.
        data_width: width of the compact GAN.
    """

    images: int = 32
    large_images: int = 32
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
    """Run the measurements, print the table, and write the table and the figure."""
    arguments = parse()
    sizes = QUICK if arguments.quick else Sizes()
    given = {"images": arguments.images, "loop_images": arguments.loop_images}
    sizes = dataclasses.replace(sizes, **{name: value for name, value in given.items() if value})
    parts = [arguments.only] if arguments.only else ["inversion", "training"]
    rows = [row for part in parts for row in PARTS[part](sizes)]
    folder = HERE.parents[1] / "outputs" / "speed" if arguments.quick else HERE
    table, figure = folder / "table.csv", folder / "figure.png"
    kept = read_table(table) if arguments.only and table.exists() else []
    write_table(merge_rows(kept, rows), table)
    if arguments.only != "training":  # the figure has no results of the training
        draw(table, figure)
    print_table(rows)
    if not torch.cuda.is_available():
        print("\nThere is no GPU, so the table has no rows for a GPU.")
    if arguments.quick:
        print("\nThis was a quick run. Its numbers have no meaning.")
    print(f"\n{table}" if arguments.only == "training" else f"\n{table}\n{figure}")


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, help=f"number of images for our solver at 64 pixels ({Sizes.images})")
    parser.add_argument("--loop-images", type=int, help=f"number of images for the plain loop ({Sizes.loop_images})")
    parser.add_argument("--quick", action="store_true", help="short smoke test, writes to outputs/speed")
    parser.add_argument("--only", choices=PARTS, help="only measure this part, and keep the other rows of the table")
    return parser.parse_args()


def inversion_rows(sizes: Sizes) -> list[Row]:
    """Run all cases of inversion."""
    small = [Case("rgi_64_cpu", "rgi", brick, sizes.images, 50), Case("r_rgi_64_cpu", "r_rgi", brick, sizes.images, 20)]
    rows = product_rates(sizes, CPU)
    for case in small:
        rows += full_case(case, sizes)
    rows += fitted_rows(sizes)
    large = Case("rgi_128_cpu", "rgi", lambda: progressive(sizes.widths, CPU), sizes.large_images, 40)
    rows += extrapolated_case(large, Table(rows).value("rgi_64_cpu", "ours", "steps"))
    if torch.cuda.is_available():
        rows += gpu_rows(sizes, torch.device("cuda"))
    for case in small:
        rows += sweep(case.method, sizes.sweep, int(Table(rows).value(case.name, "ours", "threads")))
    return rows


def fitted_rows(sizes: Sizes) -> list[Row]:
    """Run the cases with a fitted generator."""
    targets = {"rgi": 200, "r_rgi": 100}
    cases = [Case(f"{method}_64_fitted_cpu", method, faces, sizes.images, goal) for method, goal in targets.items()]
    return [row for case in cases for row in full_case(case, sizes)]


def gpu_rows(sizes: Sizes, device: torch.device) -> list[Row]:
    """Run the cases with 128 pixels on a GPU."""
    rows = product_rates(dataclasses.replace(sizes, product=4 * sizes.product), device)
    for method, target in (("rgi", 100), ("r_rgi", 50)):
        case = Case(f"{method}_128_gpu", method, lambda: progressive(sizes.widths, device), sizes.gpu_images, target)
        rows += full_case(case, sizes)
    return rows


def training_and_data_rows(sizes: Sizes) -> list[Row]:
    """Measure the training step of the progressive GAN and the cost of image files, on CPU and GPU (if present)."""
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
    """Measure matrix products in float32 and bfloat16.

    Args:
        sizes: sizes of the measurements.
        device: device of the product.
        case: name of the case in the table; empty for the name of the device.
    """
    rates = {name: product_rate(sizes.product, getattr(torch, name), device) for name in ("float32", "bfloat16")}
    return [Row(case or device.type, 0, "matmul", name, rate, "GFLOP/s") for name, rate in rates.items()]


def full_case(case: Case, sizes: Sizes) -> list[Row]:
    """Measure full runs of our solver and of the published procedure on the same images."""
    gan, write = case.make(), RowWriter(case)
    config = our_solver(case.method, gan.device)
    images = corrupted_images(gan, case.images)
    threads = threads_of_ours(gan, images.observed, config, 20)
    ours = run_ours(case.make(), images.observed, config)
    spots = hot_spots(gan, images.observed, config, 10)
    loops, lean_step, loop_threads = measure_loop(gan, images.observed, case.method, sizes)
    start, step = (fmean(getattr(run, name) for run in loops) for name in ("start", "step"))
    rows = write.times(ours.seconds / case.images, start, step, lean_step, sizes.loop_steps != STEPS)
    rows += write.threads(threads, loop_threads)
    rows += write.parts(ours.start, fmean(ours.steps), ours.inversion.iterations.double().mean().item())
    rows += write.rates(network_rate(gan, case.images, config, ours.steps), spots)
    rows += [write("ours", "weight_rate_times_steps", config.lr_generator * tuned_steps(config))]
    return rows + quality_rows(write, images, ours.inversion, loops)


def measure_loop(gan: GAN, observed: Tensor, method: str, sizes: Sizes) -> tuple[list[LoopRun], float, int]:
    """Run the published procedure.

    Args:
        gan: GAN.
        observed: observed images (B,C,H,W).
        method: "rgi" or "r_rgi".
        sizes: sizes of the measurements.

    Returns:
        Runs on the first images, seconds of a step without the critic, and number of threads.
    """
    published = dataclasses.replace(PUBLISHED[method], iterations=sizes.loop_steps)
    tested = observed[: sizes.loop_images].split(1)
    threads = threads_of_loop(gan, tested[0], published, 20)
    loops = [run_loop(gan, image, published) for image in tested]
    lean = dataclasses.replace(published, run_critic=False, iterations=min(LEAN_STEPS, sizes.loop_steps))
    return loops, run_loop(gan, tested[0], lean, pool_size=1).step, threads


def extrapolated_case(case: Case, steps: float) -> list[Row]:
    """Measure a case whose full runs would take too long, and extrapolate from a few steps.

    Args:
        case: case of the comparison.
        steps: number of steps of our full run, taken from the smaller network.
    """
    gan, write, published = case.make(), RowWriter(case), PUBLISHED[case.method]
    config = our_solver(case.method, gan.device)
    observed = corrupted_images(gan, case.images).observed
    threads = threads_of_ours(gan, observed, config, 2)
    start, trial, step, final = parts_of_ours(case.make(), observed, config)
    spots = hot_spots(gan, observed, config, 2)
    loop_threads = threads_of_loop(gan, observed[:1], published, 2)
    loop, lean = (
        run_loop(gan, observed[:1], dataclasses.replace(published, iterations=5, run_critic=critic), pool_size=10)
        for critic in (True, False)
    )
    more = (trial - step) / (config.starts - 1)  # the time of a step grows linearly with the number of starts
    total = start + sum(step + (config.starts_in(each) - 1) * more for each in range(round(steps))) + final
    rows = write.times(total / case.images, loop.start, loop.step, lean.step, True, True)
    rows += write.threads(threads, loop_threads) + write.parts(start, step, steps, True)
    rows += write.rates(network_rate(gan, case.images, config.replace(starts=1), [step]), spots)
    return [*rows, write("ours", "trial_step_seconds", trial, "s")]


def sweep(method: str, counts: Sequence[int], threads: int) -> list[Row]:
    """Measure our time and memory over the number of images, with one process per number.

    Args:
        method: "rgi" or "r_rgi".
        counts: numbers of images.
        threads: number of threads.
    """
    rows = []
    for count in tqdm(counts, desc=f"{method}, number of images", leave=False):
        with ProcessPoolExecutor(1, get_context("spawn")) as processes:
            seconds, peak, before = processes.submit(measure_count, method, count, threads).result()
        numbers = (("seconds_per_image", seconds, "s"), ("peak_memory", peak, "MiB"), ("memory_before", before, "MiB"))
        rows += [Row(f"{method}_64_cpu_sweep", count, "ours", *number) for number in numbers]
    return rows


def measure_count(method: str, count: int, threads: int) -> tuple[float, float, float]:
    """Measure one number of images.

    Returns:
        Seconds per image, peak memory in MiB, and memory before the inversion in MiB.
    """
    torch.set_num_threads(threads)
    gan = brick()
    observed, config = corrupted_images(gan, count).observed, our_solver(method, gan.device)
    with PeakMemory() as memory:
        inversion = invert(gan, observed, config)
    return inversion.seconds / count, memory.peak, memory.before


@dataclass(frozen=True)
class RowWriter:
    """Functions that create the rows of a case."""

    case: Case

    def __call__(self, method: str, metric: str, value: float, unit: str = "", extrapolated: bool = False) -> Row:
        images = self.case.images if method == "ours" else 1
        return Row(self.case.name, images, method, metric, float(value), unit, extrapolated)

    def times(
        self, ours: float, start: float, step: float, lean_step: float, loop_scaled: bool, ours_scaled: bool = False
    ) -> list[Row]:
        """Rows of the times per image.

        Args:
            ours: our seconds per image.
            start: seconds of the start of the loop.
            step: seconds of a step of the loop.
            lean_step: seconds of a step of the loop without the critic.
            loop_scaled: whether the time of the loop is extrapolated.
            ours_scaled: whether our time and the start of the loop are extrapolated.
        """
        rows = [self("ours", "seconds_per_image", ours, "s", ours_scaled), self("ours", "target", self.case.target)]
        for method, seconds, scaled in (("loop", step, loop_scaled), ("loop_without_critic", lean_step, True)):
            total = start + STEPS * seconds
            rows.append(self(method, "seconds_per_image", total, "s", scaled))
            rows.append(self(method, "step_seconds", seconds, "s"))
            rows.append(self("ours", f"speedup_over_{method}", total / ours, "", scaled or ours_scaled))
        return [*rows, self("loop", "start_seconds_per_image", start, "s", ours_scaled)]

    def threads(self, ours: int, loop: int) -> list[Row]:
        """Rows of the numbers of threads."""
        return [self("ours", "threads", ours), self("loop", "threads", loop)]

    def parts(self, start: float, step: float, steps: float, scaled: bool = False) -> list[Row]:
        """Rows of our start per image, of a step of the whole batch, and of the number of steps."""
        return [
            self("ours", "start_seconds_per_image", start / self.case.images, "s", scaled),
            self("ours", "step_seconds", step, "s"),
            self("ours", "steps", steps, "", scaled),
        ]

    def rates(self, rate: float, spots: dict[str, float]) -> list[Row]:
        """Rows of the rate of the networks and of the shares of the slowest operations."""
        shares = [self("ours", f"self_time {operation}", share, "%") for operation, share in spots.items()]
        return [self("ours", "network_rate", rate, "GFLOP/s"), *shares]


def quality_rows(write: RowWriter, images: Images, inversion: Inversion, loops: list[LoopRun]) -> list[Row]:
    """Rows of objective, PSNR and pixel AUROC of both methods, means over the images of the loop.

    Args:
        write: writer of rows.
        images: images of the case.
        inversion: result of our solver.
        loops: runs of the published procedure on the first images.
    """
    observed, clean, true_mask = (part[: len(loops)] for part in images)
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
            rows.append(write(method, f"pixel_auroc_{name}", auroc_per_image(score.abs().mean(1), true_mask).nanmean()))
    return rows


def objective(residual: Tensor, mask: Tensor) -> Tensor:
    """Objective L of each image (B,) without the critic term, from the residual (B,C,H,W) and the mask (B,C,H,W)."""
    return data_loss(residual, mask, "l2") + mask_loss(mask, PENALTY)


PARTS = {"inversion": inversion_rows, "fitted": fitted_rows, "training": training_and_data_rows}

if __name__ == "__main__":
    main()
