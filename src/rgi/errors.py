"""The one exception for bad input."""


class InputError(ValueError):
    """The user's input is wrong: the message names the culprit, what is wrong with it, and the remedy.

    The command line prints the message alone; every other exception is a bug of ours and keeps its traceback.
    """
