"""LightningModules that solve test images and score the results."""
