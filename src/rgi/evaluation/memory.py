"""Peak memory of a piece of work, so that methods that run one after another can be compared."""

from threading import Event, Thread

import psutil
import torch

INTERVAL = 0.02  # seconds between two samples of the main memory


class PeakMemory:
    """Context that measures the highest memory in MiB while it is open: of the GPU, or else of this process.

    On a GPU, it is the memory of the tensors. Elsewhere, a thread samples the resident memory of the process, which
    includes the libraries and what was in memory before. The operating system's own peak cannot be reset, so it would
    be the peak of all earlier work too.

    Attributes:
        before: memory at the start of the context.
        peak: highest memory in the context.

    Args:
        device: device of the work; None stands for the CPU.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        self.gpu = device if device is not None and device.type == "cuda" else None
        self.before = self.peak = 0.0

    def __enter__(self) -> "PeakMemory":
        if self.gpu is not None:
            torch.cuda.reset_peak_memory_stats(self.gpu)
            self.before = self.peak = torch.cuda.memory_allocated(self.gpu) / 2**20
            return self
        self.process, self.left = psutil.Process(), Event()
        self.before = self.peak = self._resident()
        self.watch = Thread(target=self._watch, daemon=True)
        self.watch.start()
        return self

    def _resident(self) -> float:
        return self.process.memory_info().rss / 2**20

    def _watch(self) -> None:
        while not self.left.wait(INTERVAL):
            self.peak = max(self.peak, self._resident())

    def __exit__(self, *_: object) -> None:
        if self.gpu is not None:
            self.peak = torch.cuda.max_memory_allocated(self.gpu) / 2**20
            return
        self.left.set()
        self.watch.join()
        self.peak = max(self.peak, self._resident())
