"""A convolutional autoencoder, which restores clean images well and defects badly because of its bottleneck.

Source: Bergmann et al., "Improving unsupervised defect segmentation by applying structural similarity to autoencoders"
(2019), here with the squared error. Encoder and decoder have the architecture of the encoder and the generator of the
compact family. A comparison with GAN inversion therefore does not depend on the architecture.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from rgi.baselines.base import Baseline, CleanImages, progress_bar
from rgi.errors import InputError
from rgi.generators import compact
from rgi.generators.encoder import Encoder
from rgi.validation import Count, Positive, Seed, checked, integer


class Autoencoder(Baseline):
    """An autoencoder that restores D(E(x)); Adam minimises the mean of |x - D(E(x))|².

    Args:
        latent_dim: dimension of the bottleneck.
        width: number of feature maps at full resolution, see `rgi.generators.compact`.
        max_width: highest number of feature maps in a layer.
        steps: number of training steps.
        batch_size: number of random images per step, at least 2.
        lr: learning rate of Adam at the first step; it falls to 0 as a cosine.
        seed: seed of the initial weights and of the batches.

    Raises:
        InputError: an option is out of range.
    """

    @checked("baseline")
    def __init__(
        self,
        latent_dim: Count = 64,
        width: Count = 8,
        max_width: Count = 64,
        steps: Count = 1000,
        batch_size: integer(2) = 16,  # batch normalisation needs two images
        lr: Positive = 1e-3,
        seed: Seed = 0,
    ) -> None:
        super().__init__()
        self.latent_dim, self.widths = latent_dim, {"width": width, "max_width": max_width}
        self.steps, self.batch_size, self.lr, self.seed = steps, batch_size, lr, seed
        self.network: nn.Sequential | None = None

    def _fit(self, clean: CleanImages) -> None:
        images = clean.stacked()
        _, channels, height, resolution = images.shape
        if height != resolution:
            raise InputError(f"images {tuple(images.shape)}: must be square; crop or resize the images")
        sizes = {"latent_dim": self.latent_dim, "channels": channels, "resolution": resolution} | self.widths
        with torch.random.fork_rng(devices=[]):  # the layers use the global random generator of the CPU
            torch.default_generator.manual_seed(self.seed)
            decoder, _ = compact.build(**sizes)
            self.network = nn.Sequential(Encoder(**sizes), decoder).to(images.device)
        with torch.enable_grad():
            self._train(self.network, images)
        self.network.eval().requires_grad_(False)

    def _train(self, network: nn.Module, images: Tensor) -> None:
        optimizer = torch.optim.Adam(network.parameters(), self.lr)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        random = torch.Generator().manual_seed(self.seed)
        for step in progress_bar(self.steps, "autoencoder"):
            clean = images[torch.randint(len(images), (self.batch_size,), generator=random).to(images.device)]
            loss = mse_loss(network(clean), clean)
            if not torch.isfinite(loss):
                raise InputError(
                    f"autoencoder step {step}: the loss is not finite; start again with a baseline.lr below {self.lr}"
                )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()

    def _restore(self, observed: Tensor) -> Tensor:
        return self.network(observed)
