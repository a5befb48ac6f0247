"""BTAD, the beanTech anomaly detection dataset: three industrial products with masks of their defects.

Mishra, Verk, Fornasier, Piciarelli, Foresti, "VT-ADL: A Vision Transformer Network for Image Anomaly Detection and
Localization", ISIE 2021. The archive (https://avires.dimi.uniud.it/papers/btad/btad.zip) has the products in a folder
``BTech_Dataset_transformed``. Its SHA-256 according to anomalib is
461c9387e515bfed41ecaae07c50cf6b10def647b36c9e31d239ab2736b10d2a. We have not checked this hash.
"""

from rgi.data.sets.category_set import CategorySet

PAGE = "https://github.com/pankajmishra000/VT-ADL"


class BTAD(CategorySet):
    """One product in the original layout: ``train/ok``, ``test/ok``, ``test/ko`` and ``ground_truth/ko``.

    A mask has the stem of its image; the file formats may differ. Images are named ``ok/<stem>`` and ``ko/<stem>``. The
    dataset does not distinguish kinds of defect.
    """

    name = "btad"
    # The authors' page says BY-SA, but anomalib's documentation says BY-NC-SA. Ask the authors before commercial use.
    terms = "BTAD by beanTech srl, CC BY-SA 4.0 says the authors' page; cite Mishra et al. 2021."
    title = "BTAD"
    source = f"download BTAD from {PAGE} and set dataset.root to the folder with 01, 02 and 03"
    categories = ("01", "02", "03")
    good = "ok"
