"""MVTec AD: 15 categories of industrial objects and textures with exact masks of their defects.

Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 129 (2021).
"""

from typing import Any

from rgi.data.download import download
from rgi.data.files import Channels, Resolution
from rgi.data.listing import expanded
from rgi.data.sets.category_set import CategorySet
from rgi.validation import Name, Switch, Text, checked

CATEGORIES = (
    "bottle", "cable", "capsule", "carpet", "grid", "hazelnut", "leather", "metal_nut",
    "pill", "screw", "tile", "toothbrush", "transistor", "wood", "zipper",
)  # fmt: skip
PAGE = "https://www.mvtec.com/company/research/datasets/mvtec-ad/downloads"
ARCHIVE = (
    "https://www.mydrive.ch/shares/150996/b52ecdcbf521176e9db9c731f2304b27/"
    "download/420938113-1629960298/mvtec_anomaly_detection.tar.xz"
)
SHA256 = "cf4313b13603bec67abb49ca959488f7eedce2a9f7795ec54446c649ac98cd3d"


class MVTecAD(CategorySet):
    """One category in the original layout, with masks ``ground_truth/<defect>/<stem>_mask.png``.

    Args:
        root: folder of the categories.
        category: one of `CATEGORIES`, or another folder with this layout.
        resolution: height and width in pixels to which images are resized.
        channels: number of channels, 1 (grey) or 3 (RGB).
        download: whether `prepare` downloads the whole dataset (4.9 GiB) if the category is missing.
        shared: further options of `FileSet`.
    """

    name = "mvtec_ad"
    terms = "MVTec AD by MVTec Software GmbH, CC BY-NC-SA 4.0: no commercial use, cite Bergmann et al. 2021."
    title = "MVTec AD"
    source = (
        f"download MVTec AD from {PAGE} and extract the archive there, or set dataset.download=true "
        "(4.9 GiB; no commercial use)"
    )
    categories = CATEGORIES
    good = "good"
    mask_ending = "_mask"

    @checked("dataset")
    def __init__(
        self, root: Text, category: Name, resolution: Resolution, channels: Channels, download: Switch, **shared: Any
    ) -> None:
        super().__init__(root, category, resolution, channels, **shared)
        self.download = download

    def prepare(self, training: bool = True, tests: bool = True) -> None:
        """Download the dataset with ``download=True`` if it is missing, then check it, see `FileSet.prepare`.

        Raises:
            InputError: the download fails, or `FileSet.prepare` raises an error.
        """
        home = expanded(self.root) / self.category
        if self.download and self.category in CATEGORIES and not home.is_dir():
            download(ARCHIVE, SHA256, home.parent, PAGE)
        super().prepare(training, tests)
