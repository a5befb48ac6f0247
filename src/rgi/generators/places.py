"""Places of generator files: the program's own folder, and that of the user's trainings."""

from pathlib import Path

from rgi.errors import InputError, did_you_mean

PACKAGE = Path(__file__).parents[1]


def program_folder(name: str) -> Path:
    """A folder of the program: inside the installed package (see setup.py), or in the repository.

    Args:
        name: path in the repository, such as "conf".
    """
    installed = PACKAGE / "files" / name
    return installed if installed.is_dir() else PACKAGE.parents[1] / name


SHIPPED = program_folder("data/generators")  # read only: nothing here is ever replaced
LOCAL = Path("data/generators/local")  # in the working directory; trainings write here
DEFAULT = LOCAL.parent


def named(name: str) -> list[Path]:
    """The files that a name without folder may mean, in the order of the search; some may not exist.

    Args:
        name: name of a generator, with or without the suffix.
    """
    file = name if name.endswith(".safetensors") else f"{name}.safetensors"
    return [folder / file for folder in (LOCAL, DEFAULT, SHIPPED)]


def similar(file: Path) -> str:
    """A question whether a generator with a similar name was meant; empty without one."""
    folders = (LOCAL, DEFAULT, SHIPPED)
    return did_you_mean(file.stem, {each.stem for folder in folders for each in folder.glob("*.safetensors")})


def is_shipped(file: Path) -> bool:
    """Whether a file exists in the program's own folder."""
    return file.is_file() and file.resolve().parent == SHIPPED


def own_file(file: Path) -> Path:
    """The file to write instead of this one: a file of the same name in `LOCAL` for a shipped file."""
    return LOCAL / file.name if is_shipped(file) else file


def check_own(option: str, file: Path) -> None:
    """Check that a file to be written is not a shipped one.

    Args:
        option: option with its value, for the error message.
        file: path of the safetensors file.

    Raises:
        InputError: the file belongs to the program.
    """
    if is_shipped(file):
        raise InputError(
            f"{option}: belongs to the program, and is never replaced; name another file, such as {LOCAL / file.name}"
        )
