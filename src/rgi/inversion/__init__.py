"""GAN inversion: objective, mask, start of the latent code, weights and optimisation."""
