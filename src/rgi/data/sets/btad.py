"""BTAD, the beanTech anomaly detection dataset: three industrial products, with masks of their defects.

Mishra, Verk, Fornasier, Piciarelli, Foresti, "VT-ADL: A Vision Transformer Network for Image Anomaly Detection and
Localization", ISIE 2021. The archive (https://avires.dimi.uniud.it/papers/btad/btad.zip) holds the products in a folder
``BTech_Dataset_transformed``; anomalib records its SHA-256,
461c9387e515bfed41ecaae07c50cf6b10def647b36c9e31d239ab2736b10d2a, which we have not checked.
"""

from rgi.data.sets.category_set import CategorySet

PAGE = "https://github.com/pankajmishra000/VT-ADL"


class BTAD(CategorySet):
    """One product in the original layout: ``train/ok``, ``test/ok``, ``test/ko`` and ``ground_truth/ko``.

    A mask has its image's stem; the formats (bmp and png, by product) do not matter. Images are named ``ok/<stem>`` and
    ``ko/<stem>``; the set tells no kinds of defect apart.
    """

    name = "btad"
    # The authors' page says BY-SA, anomalib's documentation BY-NC-SA: whoever wants to sell something asks the authors.
    terms = "BTAD by beanTech srl, CC BY-SA 4.0 says the authors' page; cite Mishra et al. 2021."
    title = "BTAD"
    source = f"download BTAD from {PAGE} and name the folder that holds 01, 02 and 03"
    categories = ("01", "02", "03")
    good = "ok"
