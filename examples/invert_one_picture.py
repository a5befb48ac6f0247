"""Invert one picture: find the clean picture that the generator can make, and where the given one differs from it.

python examples/invert_one_picture.py               # a patch of bricks with a painted crack
python examples/invert_one_picture.py brick.jpg     # your own picture of bricks
"""

import sys
from pathlib import Path

from rgi import SolverConfig, invert, load_gan
from rgi.data.images import read_image
from rgi.data.sets.textures import Textures
from rgi.report.pictures import heatmap, heatmap_scale, to_picture

OUTPUT = Path("outputs/examples/one_picture")

gan = load_gan("textures-brick-64")  # a shipped generator, or the path of a safetensors file
card = gan.card
if len(sys.argv) > 1:
    observed = read_image(Path(sys.argv[1]), card.channels, card.resolution)[None]  # (1,C,H,W) in [-1,1]
else:
    tests = Textures("brick").test()
    observed = tests[tests.names.index("crack/009")].observed

# With "auto", λ is set from the generator's residuals on clean pictures. The default has more starts and steps: it is
# slower and better.
config = SolverConfig(mask_penalty="auto", starts=1, pool_size=100, iterations=40)
result = invert(gan, observed, config)
anomaly_map = result.anomaly_map("residual", sigma=1)[0].numpy()

OUTPUT.mkdir(parents=True, exist_ok=True)
to_picture(observed[0].numpy()).save(OUTPUT / "observed.png")
to_picture(result.restored[0].numpy()).save(OUTPUT / "restored.png")
heatmap(anomaly_map, heatmap_scale([anomaly_map])).save(OUTPUT / "anomaly_map.png")
print(f"{OUTPUT}: {int(result.iterations)} steps, {float(result.mask.mean()):.1%} of the picture is masked")
