"""Robust GAN inversion: mask-free inpainting and unsupervised pixel-wise anomaly detection (Mou et al., ICLR 2023)."""

from rgi.generators.store import load_gan
from rgi.inversion.config import SolverConfig
from rgi.inversion.solver import invert

__all__ = ["SolverConfig", "invert", "load_gan"]
