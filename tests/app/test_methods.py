"""Methods of the comparison, our versions and the published ones. The tests find new files in conf/solver."""

import dataclasses

import pytest
import torch
from helpers.tiny_gan import tiny_gan

from rgi import SolverConfig, invert
from rgi.app.grid import CONF, compose
from rgi.app.options import solver_config
from rgi.generators.store import GAN

OURS = sorted(path.stem for path in CONF.glob("solver/*.yaml"))
PUBLISHED = sorted(path.stem for path in CONF.glob("solver/reference/*.yaml"))
PAPER = sorted(path.stem for path in CONF.glob("paper/*.yaml"))

# Constants from the authors' command lines, or from their code where it differs: data term of RGI and R-RGI, λ of RGI,
# λ of R-RGI, weight of the critic, steps, first tuning step, first step with a frozen mask, initial mask.
CONSTANTS = {
    "celeba_central": ("l2", 0.07, 0.07, 10, 2000, 1500, 1500, "ones"),
    "celeba_random": ("l2", 0.10, 0.10, 10, 2000, 1500, 1500, "ones"),
    "celeba_irregular": ("l2", 0.10, 0.10, 10, 2000, 1500, 1500, "ones"),
    "stanford_cars_central": ("l1", 0.9, 0.9, 0, 3000, 1500, None, "ones"),
    "stanford_cars_random": ("l1", 1.2, 1.2, 0.01, 3000, 1500, None, "ones"),
    "stanford_cars_irregular": ("l1", 0.9, 0.9, 0, 3000, 1500, None, "ones"),
    "lsun_bedroom_central": ("l1", 0.7, 0.7, 0.01, 3000, 1500, None, "ones"),
    "lsun_bedroom_random": ("l1", 1.2, 1.2, 0, 3000, 1500, None, "ones"),
    "lsun_bedroom_irregular": ("l1", 0.8, 0.7, 10, 3000, 1500, None, "ones"),
    "btad_crack": ("l2", 0.4, 0.12, 0.1, 2000, 500, None, "zeros"),
    "btad_irregular": ("l2", 0.4, 0.10, 0.1, 2000, 500, None, "zeros"),
    "btad_large": ("l2", 0.4, 0.06, 0.1, 2000, 500, None, "zeros"),
    "btad_scratch": ("l2", 0.4, 0.14, 0.1, 2000, 500, None, "zeros"),
    "anomaly": ("l2", 0.12, 0.12, 0.1, 2000, 500, None, "zeros"),
}
COMMON = {
    "mask_shape": "channel", "warm_moments": True, "lr_latent": 0.1, "lr_mask": 0.1, "lr_generator": 1e-5,
    "latent_weight": 0.0, "betas": (0.9, 0.999), "schedule": "constant", "warmup": 0, "tolerance": None,
    "continuation": 1.0, "latent_basis": "standard", "latent_start": "pool", "pool_size": 1000,
    "pool_distribution": "uniform", "starts": 1, "precision": "float32", "compile": False,
}  # fmt: skip
BASELINES = {  # data term, mask, whether the generator is tuned
    "anogan": ("l2", "none", False),
    "yeh": ("l1", "none", False),
    "yeh_masked": ("l1", "given", False),
    "pan": ("l1", "none", True),
    "pan_masked": ("l1", "given", True),
}


def as_published(method: str, paper: str) -> dict:
    """Expected fields of a published method, from `CONSTANTS` and `BASELINES`."""
    data_term, penalty, penalty_relaxed, critic, steps, tune_from, frozen, start = CONSTANTS[paper]
    if method in BASELINES:
        data_term, mask, tuned = BASELINES[method]
        found = {"mask": mask}
    else:
        tuned = method == "r_rgi"
        found = {"mask": "adam", "mask_init": start, "freeze_mask_from": frozen}
        found |= {"mask_penalty": penalty_relaxed if tuned else penalty}
    found |= {"data_term": data_term, "critic_weight": critic, "iterations": steps, "tune_generator": tuned}
    return COMMON | found | ({"tune_from": tune_from} if tuned else {})


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
