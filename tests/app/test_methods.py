"""Methods of the comparison, our versions and the published ones. The tests find new files in conf/solver."""

import dataclasses

import pytest
import torch
from helpers.published import BASELINES, CONSTANTS, as_published
from helpers.tiny_gan import tiny_gan

from rgi import SolverConfig, invert
from rgi.app.grid import CONF, compose
from rgi.app.options import solver_config
from rgi.generators.store import GAN

OURS = sorted(path.stem for path in CONF.glob("solver/*.yaml"))
PUBLISHED = sorted(path.stem for path in CONF.glob("solver/reference/*.yaml"))
PAPER = sorted(path.stem for path in CONF.glob("paper/*.yaml"))


def configured(*choices: str) -> dict[str, SolverConfig]:
    """Solver configurations by their choice in the group ``solver``. Arguments with "=" are overrides."""
    methods = {name.replace("/", "_"): name for name in choices if "=" not in name}
    overrides = [f"+solver@methods.{method}={name}" for method, name in methods.items()]
    cfg = compose(*overrides, *(choice for choice in choices if "=" in choice))
    return {name: solver_config(cfg.methods[method], method, "compare") for method, name in methods.items()}


def configured_alone(method: str) -> SolverConfig:
    """Solver configuration of a run with one method and the paper's constants for anomalies."""
    return solver_config(compose(f"solver={method}", "paper=anomaly").solver, method, "invert")


@pytest.fixture(scope="module")
def corrupted() -> tuple[GAN, torch.Tensor, torch.Tensor]:
    """A GAN, images with one corrupted block each, and the masks of the blocks."""
    count, gan = 3, tiny_gan()
    gan.card = dataclasses.replace(gan.card, residuals={"0.9": 0.2})  # for an automatic penalty
    torch.manual_seed(1)
    clean = gan.generator(torch.randn(count, gan.card.latent_dim))
    mask = torch.zeros_like(clean)
    for i in range(count):
        mask[i, :, 4 * i : 4 * i + 8, 5:15] = 1
    return gan, clean + mask * torch.randn_like(clean) * 2, mask


def test_all_files_with_the_papers_constants_are_checked():
    assert sorted(CONSTANTS) == PAPER
    assert sorted([*BASELINES, "rgi", "r_rgi"]) == PUBLISHED


@pytest.mark.parametrize("paper", PAPER)
def test_published_methods_have_the_papers_constants(paper):
    methods = configured(f"paper={paper}", *(f"reference/{method}" for method in PUBLISHED))
    for method in PUBLISHED:
        found, expected = dataclasses.asdict(methods[f"reference/{method}"]), as_published(method, paper)
        assert {name: found[name] for name in expected} == expected, method


@pytest.mark.parametrize("method", PUBLISHED)
def test_a_published_method_is_equal_in_a_single_run_and_in_a_comparison(method):
    """Hydra resolves relative names in the defaults of a file differently in these cases."""
    name = f"reference/{method}"
    assert configured_alone(name) == configured(name, "paper=anomaly")[name]


@pytest.mark.parametrize("method", OURS + [f"reference/{method}" for method in PUBLISHED])
def test_results_do_not_depend_on_the_batch(method, corrupted):
    """The first steps in float64 agree to 1e-10."""
    (config,) = configured(method, "paper=celeba_central").values()
    frozen = None if config.freeze_mask_from is None else 6
    config = config.replace(iterations=8, trial_steps=3, tune_from=4, freeze_mask_from=frozen, pool_size=20)
    config = config.replace(latent_start="pool", precision="float64", compile=False)
    gan, observed, mask = corrupted
    together = invert(gan, observed, config, given_mask=mask)
    for i in (2, 0):
        alone = invert(gan, observed[i : i + 1], config, given_mask=mask[i : i + 1])
        for field in ("restored", "mask", "latent", "objective", "iterations"):
            value = getattr(together, field)[i]
            assert value.isfinite().all()
            torch.testing.assert_close(value, getattr(alone, field)[0], atol=1e-10, rtol=0)


@pytest.mark.parametrize("method", ["reference/rgi", "reference/r_rgi"])
@pytest.mark.parametrize(("paper", "frozen"), [("celeba_central", True), ("stanford_cars_central", False)])
def test_the_mask_is_frozen_as_in_the_authors_code(method, paper, frozen, corrupted):
    """The meaning of their flag --fix_mask is inverted. Without the flag, as for CelebA, tuning freezes the mask."""
    (config,) = configured(method, f"paper={paper}").values()
    assert (config.freeze_mask_from == CONSTANTS[paper][5]) == frozen
    config = config.replace(tune_from=5, freeze_mask_from=6 if frozen else None, pool_size=20, iterations=6)
    gan, observed, _ = corrupted
    before, after = invert(gan, observed, config), invert(gan, observed, config.replace(iterations=10))
    assert after.mask.equal(before.mask) == frozen
    assert not after.latent.equal(before.latent)


def test_published_methods_need_the_papers_constants():
    with pytest.raises(ValueError, match=r"methods\.reference_rgi: .* add paper=anomaly"):
        configured("reference/rgi")
