"""A new solver in YAML: conf/solver/rgi_l1.yaml beside this file, compared with RGI on the same pictures.

The command line finds the file, too:

    python run.py --config-dir examples/conf experiment=textures_rgi solver=rgi_l1
"""

from pathlib import Path

import torch
from hydra.utils import instantiate

from rgi import SolverConfig, invert, load_gan
from rgi.app.grid import compose
from rgi.data.sets.textures import Textures
from rgi.metrics.curves import auroc_per_image

CONF = Path(__file__).parent / "conf"

gan = load_gan("textures-brick-64")
tests = Textures("brick", test_images=10).test()
batches = [batch for batch in tests if batch.defective][:2]
observed, truth = (torch.cat([getattr(batch, name) for batch in batches]) for name in ("observed", "mask"))
quick = ("solver.starts=1", "solver.pool_size=100", "solver.iterations=40")  # the default is slower and better
for solver in ("rgi", "rgi_l1"):
    cfg = compose(f"hydra.searchpath=[file://{CONF}]", f"solver={solver}", *quick)
    config: SolverConfig = instantiate(cfg.solver, _target_="rgi.SolverConfig", mask_penalty="auto")
    result = invert(gan, observed, config)
    auroc = auroc_per_image(result.anomaly_map("residual", sigma=1), truth).mean()
    print(f"{solver}: mean pixel AUROC {auroc:.3f} of {len(observed)} pictures")
