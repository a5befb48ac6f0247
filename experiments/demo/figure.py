"""python experiments/demo/figure.py RUN_FOLDER: of each kind of defect the image with R-RGI's median AUROC, stacked."""

import csv
import sys
from pathlib import Path

from PIL import Image

run = Path(sys.argv[1])
with (run / "per_image.csv").open(newline="") as file:
    rows = [row for row in csv.DictReader(file) if row["method"] == "r_rgi" and row["pixel_auroc"] not in ("", "nan")]
kinds = sorted({row["kind"] for row in rows})
chosen = []
for kind in kinds:
    ranked = sorted((row for row in rows if row["kind"] == kind), key=lambda row: float(row["pixel_auroc"]))
    chosen.append(ranked[len(ranked) // 2]["name"])
strips = [Image.open(run / "pictures" / f"{name}.png").convert("RGB") for name in chosen]
figure = Image.new("RGB", (strips[0].width, sum(strip.height for strip in strips)), "white")
top = 0
for strip in strips:
    figure.paste(strip, (0, top))
    top += strip.height
figure.save(Path(__file__).with_name("figure.png"), optimize=True)
print(", ".join(chosen))
