"""Closed forms of the objective against brute force."""

import pytest
import torch

from rgi.inversion.objective import (
    close_mask,
    data_loss,
    mask_loss,
    masked_around,
    penalty_from_threshold,
    profile_mask,
)


@pytest.mark.parametrize("data_term", ["l2", "l1"])
@pytest.mark.parametrize("mask_shape", ["channel", "pixel"])
@pytest.mark.parametrize("penalty", [0.01, 0.3, 2.0])
def test_profiled_mask_is_the_minimiser(data_term, mask_shape, penalty):
    """No other mask value on a fine grid gives a pixel a lower objective."""
    torch.manual_seed(0)
    residual = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    residual[0, :, 0] = 0
    residual[0, :, 1] *= 1e-9
    best = profile_mask(residual, penalty, data_term, mask_shape)
    assert best.shape == residual.shape
    assert ((best >= 0) & (best <= 1)).all()

    def per_scalar(mask):
        seen = (1 - mask) * residual
        loss = (seen.square() if data_term == "l2" else seen.abs()) + penalty * mask.abs()
        return loss.sum(1, keepdim=True) if mask_shape == "pixel" else loss

    least = per_scalar(best)
    for value in torch.linspace(-0.5, 1.5, 401, dtype=torch.float64):
        assert (least <= per_scalar(torch.full_like(residual, value)) + 1e-12).all()
    total = data_loss(residual, best, data_term) + mask_loss(best, penalty)
    torch.testing.assert_close(total, least.sum((1, 2, 3)))


def test_a_pixel_mask_has_one_value_per_pixel_and_equals_the_channel_mask_of_grey_images():
    residual = torch.randn(2, 3, 4, 4)
    for data_term in ("l2", "l1"):
        mask = profile_mask(residual, 0.5, data_term, "pixel")
        assert (mask == mask[:, :1]).all()
        grey = residual[:, :1]
        assert profile_mask(grey, 0.5, data_term, "pixel").equal(profile_mask(grey, 0.5, data_term, "channel"))


@pytest.mark.parametrize("data_term", ["l2", "l1"])
def test_the_gradient_needs_no_derivative_of_the_mask(data_term):
    """Envelope theorem: the gradient with a constant minimising mask equals the gradient of the profiled objective."""
    residual = torch.randn(1, 1, 6, 6, dtype=torch.float64).requires_grad_()
    mask = profile_mask(residual.detach(), 0.4, data_term, "channel")
    (gradient,) = torch.autograd.grad(data_loss(residual, mask, data_term).sum(), residual)

    def profiled(r):
        best = profile_mask(r, 0.4, data_term, "channel")
        return (data_loss(r, best, data_term) + mask_loss(best, 0.4)).sum()

    step = 1e-6
    numeric = torch.zeros_like(residual)
    for index in range(residual.numel()):
        shift = torch.zeros(residual.numel(), dtype=torch.float64)
        shift[index] = step
        shift = shift.view_as(residual)
        numeric.view(-1)[index] = (profiled(residual + shift) - profiled(residual - shift)).detach() / (2 * step)
    torch.testing.assert_close(gradient, numeric, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("data_term", ["l2", "l1"])
def test_residuals_above_the_threshold_are_masked(data_term):
    penalty = penalty_from_threshold(0.2, data_term)
    residual = torch.tensor([0.199, 0.201]).view(1, 1, 1, 2)
    below, above = profile_mask(residual, penalty, data_term, "channel").flatten()
    assert below == 0
    assert above > 0


def test_closing_fills_gaps_in_holes_but_not_between_random_pixels():
    """The window of a gap of one pixel has 24 of 25 pixels masked, the window of a corner of the hole 9 of 25."""
    mask = torch.zeros(1, 3, 16, 16)
    mask[:, 1, 4:12, 4:12] = 0.3  # in one channel
    mask[:, :, 7, 7] = 0
    closed = close_mask(mask, 0.9)
    assert (closed[:, :, 7, 7] == 1).all()
    assert (closed[:, 1, 4, 4] == 0.3).all()
    assert closed[:, :, :4].eq(0).all()
    assert (close_mask(mask, 0.3)[:, :, 4, 4] == 1).all()
    assert (close_mask(mask, 0.4)[:, :, 4, 4] == mask[:, :, 4, 4]).all()
    at_random = (torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    assert (close_mask(at_random, 0.9) == at_random).all()
    corner = torch.zeros(1, 1, 8, 8)
    corner[..., :3, :3] = 1
    corner[..., 0, 0] = 0
    assert close_mask(corner, 0.85)[..., 0, 0] == 1  # 8 of the 9 pixels of the window inside the image


@pytest.mark.parametrize("mask_shape", ["channel", "pixel"])
def test_the_mask_is_exactly_zero_up_to_its_threshold(mask_shape):
    """For every λ: rounding once left 1e-8 in all pixels for one λ in six, and closing then masked whole images."""
    residual = 1e-3 * torch.randn(1, 3, 8, 8)
    for penalty in torch.linspace(0.01, 0.5, 200, dtype=torch.float64).tolist():
        mask = profile_mask(residual, penalty, "l2", mask_shape)
        assert not mask.any()
        assert not close_mask(mask, 0.8).any()


def test_the_share_of_masked_pixels_around_is_that_of_the_window_inside_the_image():
    mask = (torch.rand(2, 3, 9, 9, generator=torch.Generator().manual_seed(0)) < 0.2).float() / 2
    share = masked_around(mask)
    masked = mask.amax(1) > 0
    for row, column in ((0, 0), (1, 8), (4, 4)):
        window = masked[:, max(0, row - 2) : row + 3, max(0, column - 2) : column + 3]
        torch.testing.assert_close(share[:, 0, row, column], window.float().mean((1, 2)))


@pytest.mark.parametrize("data_term", ["l2", "l1"])
@pytest.mark.parametrize("mask_shape", ["channel", "pixel"])
def test_a_penalty_for_each_position_is_the_number_at_each_position(data_term, mask_shape):
    residual, penalty = torch.randn(2, 3, 4, 4), torch.rand(1, 1, 4, 4) + 0.1
    mask = profile_mask(residual, penalty, data_term, mask_shape)
    total = torch.zeros(2)
    for row in range(4):
        for column in range(4):
            at = (..., slice(row, row + 1), slice(column, column + 1))
            number = penalty[at].item()
            alone = profile_mask(residual[at], number, data_term, mask_shape)
            torch.testing.assert_close(mask[at], alone)
            total += mask_loss(alone, number)
    torch.testing.assert_close(mask_loss(mask, penalty), total)
