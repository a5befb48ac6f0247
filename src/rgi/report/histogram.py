"""Counts of anomaly values, so that curves and colour scales need the memory of one image only."""

import numpy as np

SHIFT = 12  # dropped bits of a float32: a bin is at most 0.05 % wide
BINS = (1 << 31) >> SHIFT
INTACT, CORRUPTED, UNKNOWN = range(3)  # rows of the counts


class Histogram:
    """Counts of finite values >= 0 of intact pixels, of corrupted pixels, and of pixels without a true mask."""

    def __init__(self) -> None:
        self.counts = np.zeros((3, BINS), np.int64)
        self.highest = 0.0

    def add(self, anomaly_map: np.ndarray, truth: np.ndarray | None = None) -> None:
        """Count the values of an image.

        Args:
            anomaly_map: anomaly map (H,W) with values >= 0. Other values than finite numbers are left out.
            truth: true mask (H,W) of bool, or None.
        """
        finite = np.isfinite(anomaly_map)
        values = np.maximum(anomaly_map[finite].astype(np.float32), 0) + np.float32(0)  # no negative zero
        self.highest = max(self.highest, float(values.max(initial=0)))
        bins = values.view(np.uint32) >> SHIFT
        rows = np.full(len(bins), UNKNOWN) if truth is None else np.where(truth[finite], CORRUPTED, INTACT)
        for row in np.unique(rows):
            index, counts = np.unique(bins[rows == row], return_counts=True)
            self.counts[row, index] += counts

    def scale(self, percentile: float) -> float:
        """Percentile of all values; their maximum if it is 0, and 1 if the maximum is 0 or there is no value."""
        cumulative = self.counts.sum(0).cumsum()
        if not cumulative[-1]:
            return 1.0
        index = int(np.searchsorted(cumulative, percentile / 100 * cumulative[-1]))
        above = float(np.array((index + 1) << SHIFT, np.uint32).view(np.float32))  # upper edge of the bin
        return (min(above, self.highest) if index else 0.0) or self.highest or 1.0

    def levels(self) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of corrupted and of intact pixels in each bin that has some, in ascending order of the value."""
        known = self.counts[[CORRUPTED, INTACT]]
        return tuple(known[:, known.any(0)])
