"""Separate weights for each image: values and gradients equal those of separate networks."""

from itertools import product

import pytest
import torch
from helpers.tiny_gan import tiny_gan

from rgi import SolverConfig, invert
from rgi.generators import pca
from rgi.inversion.weights import ImageWeights, SharedWeights, tuning


@pytest.mark.parametrize(
    ("family", "names"),
    [("compact", None), ("progressive", None), *product(["pca", "appearance"], [None, ("mean",), ("basis",)])],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_copies_equal_separate_networks(family, names, channels):
    generator = tiny_gan(family, channels=channels).generator.double()
    codes = torch.randn(3, tiny_gan(family).card.latent_dim).double()
    copies = ImageWeights(generator, 3, torch.float64, torch.float64, names=names)
    assert copies.names == [name for name, _ in generator.named_parameters() if names is None or name in names]
    with torch.no_grad():
        for parameter in copies.parameters:
            parameter += 0.1 * torch.randn_like(parameter)  # all copies differ
    images = copies(codes)
    gradients = torch.autograd.grad(images.square().sum(), copies.parameters, allow_unused=True)
    for index in range(3):
        own = [parameter[index].detach().clone().requires_grad_() for parameter in copies.parameters]
        image = torch.func.functional_call(generator, dict(zip(copies.names, own, strict=True)), codes[index][None])
        torch.testing.assert_close(images[index], image[0], rtol=0, atol=1e-10)
        expected = torch.autograd.grad(image.square().sum(), own, allow_unused=True)
        for name, actual, wanted in zip(copies.names, gradients, expected, strict=True):
            if wanted is not None:
                torch.testing.assert_close(actual[index], wanted, rtol=1e-9, atol=1e-9, msg=name)


def test_shared_weights_copy_the_network_only_for_another_precision():
    generator = tiny_gan().generator
    codes = torch.randn(2, 8)
    assert SharedWeights(generator, torch.float32).module is generator
    cast = SharedWeights(generator, torch.float64)
    assert cast.module is not generator
    torch.testing.assert_close(cast(codes.double()), generator(codes).double(), atol=1e-5, rtol=1e-4)
    assert next(generator.parameters()).dtype == torch.float32


@pytest.mark.parametrize(("eps", "moves"), [(1e-8, True), (0.5, False)])
def test_a_large_epsilon_keeps_weights_that_act_on_masked_pixels(eps, moves):
    """A pixel that is nearly masked has a tiny gradient, which Adam without ε turns into a full step."""
    gan = tiny_gan("pca")
    clean = gan.generator(torch.zeros(1, gan.card.latent_dim))
    observed = clean.clone()
    observed[:, :, :4] += 2  # far above the threshold
    config = SolverConfig(
        mask_penalty=0.02, tune_generator=True, tune_from=0, warm_moments=False, lr_generator=5e-4, eps_generator=eps,
        iterations=20, lr_latent=1e-9, latent_start="given", tolerance=None, precision="float32",
    )  # fmt: skip
    moved = (invert(gan, observed, config, latent_start=torch.zeros(1, gan.card.latent_dim)).restored - clean).abs()
    assert (moved[:, :, :4].max() > 0.05) == moves
    assert moved[:, :, 4:].max() < 1e-3


@pytest.mark.parametrize("paper", [{"schedule": "constant"}, {"mask": "adam"}])
def test_a_linear_generator_moves_its_mean_alone_but_not_in_the_papers_method(paper):
    ours = SolverConfig(tune_generator=True)
    for family in ("pca", "appearance"):
        generator = tiny_gan(family).generator
        assert tuning(generator, ours).names == ("mean",)
        every = tuple(name for name, _ in generator.named_parameters())
        assert tuning(generator, ours.replace(**paper)) == pca.Tuned(every, 1.0, 1.0)
    assert len(tuning(tiny_gan().generator, ours).names) == len(list(tiny_gan().generator.parameters()))


def test_the_mean_alone_reaches_the_image_that_all_weights_reach():
    """Without a mask, R-RGI explains even an image of noise, which no code of the generator gives."""
    gan = tiny_gan("pca")
    observed = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0)) - 0.5
    config = SolverConfig(
        mask="none", tune_generator=True, tune_from=5, warm_moments=False, lr_generator=4e-3, eps_generator=0.5,
        iterations=80, pool_size=8, starts=2, trial_steps=5, tolerance=None, precision="float32",
    )  # fmt: skip
    result = invert(gan, observed, config)
    assert (observed - gan.generator(result.latent)).abs().mean() > 0.1
    assert (observed - result.restored).abs().max() < 0.01
