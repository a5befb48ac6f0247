"""The tasks that write generators: trainings, fits, encoders, calibrations, conversions."""
