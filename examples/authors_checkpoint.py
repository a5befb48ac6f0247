"""The authors' checkpoint: convert the file to a safetensors file with a card, and invert with it.

    python examples/authors_checkpoint.py                           # a tiny checkpoint of the tests, untrained
    python examples/authors_checkpoint.py celeba_s5_i96000.pt       # one of the authors' own

The command line converts, too: python run.py task=convert source=FILE target=data/generators/local/celeba.safetensors
"""

import sys
from pathlib import Path

import torch

from rgi import SolverConfig, invert, load_gan
from rgi.generators.zoo import convert

TARGET = Path("outputs/examples/converted.safetensors")
TINY = Path(__file__).parents[1] / "tests/golden/tiny_s3_i96000.pt"

source = Path(sys.argv[1]) if len(sys.argv) > 1 else TINY
TARGET.parent.mkdir(parents=True, exist_ok=True)
gan = load_gan(convert(source, TARGET))  # the file is read safely: no code from it is run
card = gan.card
print(f"{source.name}: {card.resolution} pixels, {card.channels} channels, {card.latent_dim} latent codes")

# The paper's procedure, without the changes that make this project fast; 2,000 steps are usual.
published = SolverConfig(
    mask="adam", mask_penalty=0.07, schedule="constant", lr_latent=0.1, betas=(0.9, 0.999), pool_size=64, iterations=20
)
with torch.no_grad():
    picture = gan.generator(torch.randn(1, card.latent_dim, generator=torch.Generator().manual_seed(0)))
picture[..., :8, :8] = -1  # a hole
result = invert(gan, picture, published)
print(
    f"objective {result.history[0, 0]:.1f} before and {float(result.objective):.1f} after {published.iterations} steps"
)
