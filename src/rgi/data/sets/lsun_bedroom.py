"""LSUN bedroom: three million photographs of bedrooms, their shorter side 256 pixels.

Yu, Zhang, Song, Seff, Xiao, "LSUN: Construction of a Large-scale Image Dataset using Deep Learning with Humans in the
Loop", arXiv 1506.03365 (2015). The archive ``bedroom_train_lmdb.zip`` is an LMDB database; we know no SHA-256 of it.
"""

from pathlib import Path

from rgi.data.sets.clean_set import CleanSet
from rgi.errors import InputError

PAGE = "https://github.com/fyu/lsun"


class LSUNBedroom(CleanSet):
    """The images that ``python2.7 data.py export <database> --out_dir <root>`` of `PAGE` writes, at any depth.

    Each is known by its key, the stem of the file, whatever folder it lies in. By position among the sorted keys, each
    tenth image is for validation, the one before it for testing. Every image below ``root`` is listed and checked
    before work starts: leave as many there as are to be used.
    """

    name = "lsun_bedroom"
    terms = "LSUN states no licence; the photographs belong to their owners, for research; cite Yu et al. 2015."
    page = PAGE

    def files(self) -> list[Path]:
        """All images below ``root``, sorted by key.

        Raises:
            InputError: as `CleanSet.files`, or ``root`` holds the database itself.
        """
        root = Path(self.root).expanduser()
        database = next((path.parent for pattern in ("data.mdb", "*/data.mdb") for path in root.glob(pattern)), None)
        if database is not None:
            raise InputError(
                f"{database}: is an LMDB database, not a folder of images; export it with `python2.7 data.py export "
                f"{database} --out_dir FOLDER` ({PAGE}) and set dataset.root=FOLDER"
            )
        return super().files()
