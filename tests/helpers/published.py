"""A second copy of the paper's constants, written down from the authors' command lines, or from their code."""

# Data term of RGI and R-RGI, λ of RGI, λ of R-RGI, weight of the critic, steps, first tuning step, first step with a
# frozen mask, initial mask.
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
# Pixels of the holes in an image of 128 x 128 pixels, by dataset.
HOLES = {
    "celeba": {"central": 64 * 64, "random": 8100, "irregular": 4096},
    "stanford_cars": {"central": 32 * 32, "random": 4096, "irregular": 819},
    "lsun_bedroom": {"central": 32 * 32, "random": 4096, "irregular": 819},
}


def as_published(method: str, paper: str) -> dict:
    """Expected fields of a published method, from `CONSTANTS` and `BASELINES`.

    Args:
        method: file of conf/solver/reference.
        paper: file of conf/paper.
    """
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
