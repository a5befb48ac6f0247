"""Table of the settings that the methods of a report ran with."""

from typing import Any

from rgi.report.formats import MISSING, significant
from rgi.report.methods import MethodResults

LABELS = {
    "mask_penalty": "λ",
    "mask_penalty_factors": "Factors on λ, by position",
    "latent_weight": "Weight of |z|²",
    "precision": "Precision of the networks",
    "seed": "Seed",
    "generator_sha256": "Generator (SHA-256)",
    "map": "Anomaly map",
    "painted_pixel_auroc": "Pixel AUROC of painted defects, which weight the map",
    "threshold": "Threshold of the map, from clean images",
    "device": "Device",
    "fit_seconds": "Seconds of the fit",
    "seconds": "Seconds of all test images",
}  # names of the rows, in their order; other settings follow under their own names
DIGEST = 12  # shown digits of a checksum
Row = tuple[str, list[tuple[str, bool]]]


def settings_table(methods: list[MethodResults]) -> list[Row]:
    """One row for each setting: its name, and its text for each method.

    Args:
        methods: results of the methods. Without settings of any method, the table is empty.
    """
    found = list(dict.fromkeys(name for one in methods for name in one.settings if name != "note"))  # below the title
    names = sorted(found, key=lambda name: list(LABELS).index(name) if name in LABELS else len(LABELS))
    return [
        (LABELS.get(name, name.replace("_", " ")), [(_text(name, one.settings.get(name)), False) for one in methods])
        for name in names
    ]


def _text(name: str, value: Any) -> str:
    """A setting as text; λ keeps all digits that decide it, and a method without the setting has a dash."""
    if value is None:
        return MISSING
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(key, each)}" for key, each in value.items())
    if name.endswith("seconds"):
        return significant(value)
    if name.endswith("sha256"):
        return str(value)[:DIGEST]
    return f"{value:.6g}" if isinstance(value, float) else str(value)
