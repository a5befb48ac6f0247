"""Anomaly maps of all pictures of a folder, and a list of the pictures, the most suspicious one first.

    python examples/anomaly_maps_of_a_folder.py                # five patches of bricks
    python examples/anomaly_maps_of_a_folder.py photos/test    # your own pictures of bricks

For scores, a report and any other generator: python run.py experiment=folder_rgi dataset.root=photos/test
"""

import sys
from pathlib import Path

import torch

from rgi import SolverConfig, invert, load_gan
from rgi.data.images import read_image
from rgi.data.sets.textures import Textures
from rgi.report.pictures import heatmap, heatmap_scale, to_picture

OUTPUT = Path("outputs/examples/folder")
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}
BATCH = 32  # pictures that are solved together; the result of a picture does not depend on the others

if len(sys.argv) > 1:
    folder = Path(sys.argv[1])
else:
    folder = OUTPUT / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    for number, batch in enumerate(Textures("brick", test_images=5).test()):
        to_picture(batch.observed[0].numpy()).save(folder / f"{number}.png")

gan = load_gan("textures-brick-64")
# λ and the prior on z are those of the experiments with defects; the defaults of the others are slower and better.
defects = {"mask_penalty": "auto", "clean_quantile": 0.99, "latent_weight": "defects"}
config = SolverConfig(**defects, starts=4, pool_size=100, iterations=60)
files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
maps = {}
for first in range(0, len(files), BATCH):
    part = files[first : first + BATCH]
    images = torch.stack([read_image(path, gan.card.channels, gan.card.resolution) for path in part])
    result = invert(gan, images, config)
    maps |= zip(part, result.anomaly_map("residual", sigma=1).numpy(), strict=True)

scale = heatmap_scale(maps.values())  # one scale, so that the colours of all maps can be compared
for path in sorted(maps, key=lambda path: maps[path].max(), reverse=True):
    target = OUTPUT / "maps" / path.relative_to(folder).with_suffix(".png")
    target.parent.mkdir(parents=True, exist_ok=True)
    heatmap(maps[path], scale).save(target)
    print(f"{maps[path].max():.3f}  {path}  {target}")
