"""MVTec AD: 15 categories of industrial objects and textures with exact masks of their defects.

Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 129 (2021).
"""

from rgi.data.sets.category_set import ArchivedSet

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


class MVTecAD(ArchivedSet):
    """One category in the original layout, with masks ``ground_truth/<defect>/<stem>_mask.png``.

    The archive has 4.9 GiB. The options are those of `ArchivedSet`.
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
    archive, archive_sum, page = ARCHIVE, SHA256, PAGE
