"""The command line: all that knows Hydra, W&B and run folders."""
