"""The exception for wrong input, and what its messages have in common."""

import difflib
from collections.abc import Iterable, Mapping


class InputError(ValueError):
    """Wrong input by the user.

    The message names the wrong file or option, the problem and the remedy. The command line prints this message without
    a traceback. Any other exception is a bug in this project, so its traceback is printed.
    """


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question whether one of up to three similar words was meant; empty without a similar word.

    Args:
        word: unknown word.
        known: known words; a mapping also says how each must be typed.
    """
    typed = known if isinstance(known, Mapping) else {}
    found = [typed.get(each, each) for each in difflib.get_close_matches(word, list(dict.fromkeys(known)), cutoff=0.7)]
    return f"did you mean {' or '.join(found)}? " if found else ""
