"""The paper: objective, mask, latent start, weights, and the optimisation over them."""
