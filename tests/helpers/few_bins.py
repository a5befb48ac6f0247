"""The command line with smaller metrics, for tests of several processes: ``python few_bins.py task=compare ...``."""

import runpy
import sys

from helpers.command_line import COMMAND
from helpers.two_processes import use_few_octaves

if __name__ == "__main__":
    use_few_octaves()
    sys.argv[0] = COMMAND[-1]
    runpy.run_path(COMMAND[-1], run_name="__main__")
