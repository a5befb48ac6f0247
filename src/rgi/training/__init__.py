"""LightningModules that learn a generator or its encoder."""
