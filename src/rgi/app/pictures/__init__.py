"""Pictures of any size: calibration on clean ones, and restored pictures, maps and verdicts."""
