"""Several runs: benchmarks, multiruns, launchers, and processes of one run."""
