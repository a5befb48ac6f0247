"""LSUN bedroom: three million photographs of bedrooms with a shorter side of 256 pixels.

Yu, Zhang, Song, Seff, Xiao, "LSUN: Construction of a Large-scale Image Dataset using Deep Learning with Humans in the
Loop", arXiv 1506.03365 (2015). The archive ``bedroom_train_lmdb.zip`` has an LMDB database. We do not know the
SHA-256 of the archive.
"""

from pathlib import Path

from rgi.data.listing import expanded
from rgi.data.sets.clean_set import CleanSet
from rgi.errors import InputError

PAGE = "https://github.com/fyu/lsun"


class LSUNBedroom(CleanSet):
    """Exported images in ``root`` or its subfolders.

    The command ``python2.7 data.py export <database> --out_dir <root>`` from `PAGE` writes the images. The name of an
    image is its key, the stem of the file. In the sorted list of keys, every tenth image is for validation, and the
    image before it is for testing. All images below ``root`` are checked before work starts, so keep only the images
    that you need.
    """

    name = "lsun_bedroom"
    terms = "LSUN states no licence; the photographs belong to their owners, for research; cite Yu et al. 2015."
    page = PAGE

    def files(self) -> list[Path]:
        """All images below ``root``, sorted by key.

        Raises:
            InputError: ``root`` has an LMDB database, or `CleanSet.files` raises an error.
        """
        root = expanded(self.root)
        database = next((path.parent for pattern in ("data.mdb", "*/data.mdb") for path in root.glob(pattern)), None)
        if database is not None:
            raise InputError(
                f"{database}: is an LMDB database, not a folder of images; export the images with `python2.7 data.py "
                f"export {database} --out_dir FOLDER` ({PAGE}) and set dataset.root=FOLDER"
            )
        return super().files()
