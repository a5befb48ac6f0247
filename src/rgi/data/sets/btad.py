"""BTAD, the beanTech anomaly detection dataset: three industrial products with masks of their defects.

Mishra, Verk, Fornasier, Piciarelli, Foresti, "VT-ADL: A Vision Transformer Network for Image Anomaly Detection and
Localization", ISIE 2021. The archive has the products in the folder `FOLDER`. We have not checked its SHA-256, so the
user gives one. According to anomalib it is 461c9387e515bfed41ecaae07c50cf6b10def647b36c9e31d239ab2736b10d2a.
"""

from pathlib import Path

from rgi.data.listing import expanded
from rgi.data.sets.category_set import ArchivedSet

PAGE = "https://github.com/pankajmishra000/VT-ADL"


FOLDER = "BTech_Dataset_transformed"


class BTAD(ArchivedSet):
    """One product in the original layout: ``train/ok``, ``test/ok``, ``test/ko`` and ``ground_truth/ko``.

    The products are in the root folder, or in its folder `FOLDER`.

    A mask has the stem of its image; the file formats may differ. Images are named ``ok/<stem>`` and ``ko/<stem>``. The
    dataset does not distinguish kinds of defect.
    """

    name = "btad"
    # The authors' page says BY-SA, but anomalib's documentation says BY-NC-SA. Ask the authors before commercial use.
    terms = "BTAD by beanTech srl, CC BY-SA 4.0 says the authors' page; cite Mishra et al. 2021."
    title = "BTAD"
    source = (
        f"download BTAD from {PAGE} and set dataset.root to the folder with 01, 02 and 03, or set "
        "dataset.download=true and dataset.sha256=..., the SHA-256 of the archive"
    )
    categories = ("01", "02", "03")
    good = "ok"
    archive, archive_sum, page = "https://avires.dimi.uniud.it/papers/btad/btad.zip", None, PAGE

    def _place(self) -> Path:
        unpacked = expanded(self.root) / FOLDER / self.category
        return unpacked if unpacked.is_dir() else super()._place()
