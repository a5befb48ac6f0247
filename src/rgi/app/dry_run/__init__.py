"""Plans of runs: what would be done, with an estimate of time and memory."""
