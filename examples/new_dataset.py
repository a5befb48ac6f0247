"""A new dataset in one module: stripes at random places, some of them with a hole.

A dataset has the members of `rgi.data.protocol.ImageSet`, and no base class is needed. Base classes for image files are
in rgi.data: see docs/extending.md. With conf/dataset/stripes.yaml beside this file, the command line finds it, too:

    python run.py --config-dir examples/conf dataset=stripes baseline=pca
    python run.py --config-dir examples/conf task=pretrain dataset=stripes generator=pca
"""

import torch
from torch import Tensor
from torch.utils.data import Dataset

from rgi.baselines.pca import PCA
from rgi.data.batch import Batch
from rgi.metrics.curves import auroc_per_image

SIZE = 32


class Pictures(Dataset[Tensor]):
    """Clean pictures (1,H,W) in [-1,1]; the number of a picture decides its stripes."""

    def __init__(self, first: int, count: int) -> None:
        self.first, self.count = first, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Tensor:
        if not 0 <= index < self.count:
            raise IndexError(index)
        random = torch.Generator().manual_seed(self.first + index)
        phase, noise = 6.28 * torch.rand(1, generator=random), torch.randn(1, SIZE, SIZE, generator=random)
        return 0.8 * torch.sin(torch.arange(SIZE) / 2 + phase).expand(1, SIZE, SIZE) + 0.05 * noise


class Holes(Dataset[Batch]):
    """Test pictures, each a batch of one; every other picture has a dark hole of 8 x 8 pixels."""

    equal_sizes = True

    def __init__(self, count: int) -> None:
        self.clean = Pictures(10_000, count)
        self.names = [f"{'hole' if number % 2 else 'good'}/{number:03d}" for number in range(count)]

    def __len__(self) -> int:
        return len(self.clean)

    def __getitem__(self, index: int) -> Batch:
        clean = self.clean[index][None]
        mask = torch.zeros_like(clean)
        if index % 2:
            top, left = torch.randint(SIZE - 8, (2,), generator=torch.Generator().manual_seed(index)).tolist()
            mask[..., top : top + 8, left : left + 8] = 1
        return Batch(clean * (1 - mask) - mask, mask, clean, [self.names[index]], ["stripes"])


class Stripes:
    """The dataset; its arguments are the options of ``dataset`` on the command line."""

    name, category, terms, note = "stripes", "stripes", "Made by this module; do what you like.", ""
    channels, patch, counted = 1, 0, None  # grey; whole pictures; all pixels count

    def __init__(self, resolution: int = SIZE, channels: int = 1, test_images: int = 20) -> None:
        self.resolution, self.test_images = SIZE, test_images

    def prepare(self, training: bool = True, tests: bool = True) -> None:
        """There are no files to check."""

    def train(self) -> Pictures:
        """Clean pictures for generators and baselines."""
        return Pictures(0, 200)

    def validation(self) -> Pictures:
        """Clean pictures that nothing is trained on."""
        return Pictures(5000, 20)

    def test(self) -> Holes:
        """Test pictures with their true masks."""
        return Holes(self.test_images)


if __name__ == "__main__":
    stripes = Stripes()
    baseline = PCA(components=4).fit(stripes.train())
    tests = [stripes.test()[number] for number in range(1, 20, 2)]
    observed, truth = (torch.cat([getattr(batch, name) for batch in tests]) for name in ("observed", "mask"))
    auroc = auroc_per_image(baseline.predict(observed).anomaly_map(sigma=1), truth).mean()
    print(f"PCA finds the holes: mean pixel AUROC {auroc:.3f}")
