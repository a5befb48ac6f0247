"""The exception for wrong input."""


class InputError(ValueError):
    """Wrong input by the user.

    The message names the wrong file or option, the problem and the remedy. The command line prints this message without
    a traceback. Any other exception is a bug in this project, so its traceback is printed.
    """
