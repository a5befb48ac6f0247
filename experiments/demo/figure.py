"""python experiments/demo/figure.py RUN_FOLDER: draw the figure of the demo.

The figure has one image of each kind of defect, from top to bottom. It is the image with the median AUROC of R-RGI.
"""

import sys
from pathlib import Path

import pandas as pd
from PIL import Image

run = Path(sys.argv[1])
images = pd.read_csv(run / "per_image.csv").query("method == 'r_rgi'").dropna(subset="pixel_auroc")
images = images.sort_values("pixel_auroc", kind="stable")
chosen = [of_kind["name"].iloc[len(of_kind) // 2] for _, of_kind in images.groupby("kind")]
strips = [Image.open(run / "pictures" / f"{name}.png").convert("RGB") for name in chosen]
figure = Image.new("RGB", (strips[0].width, sum(strip.height for strip in strips)), "white")
top = 0
for strip in strips:
    figure.paste(strip, (0, top))
    top += strip.height
figure.save(Path(__file__).with_name("figure.png"), optimize=True)
print(", ".join(chosen))
