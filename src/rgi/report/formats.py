"""Numbers as text."""

import math
from collections.abc import Callable

MISSING = "\u2013"  # text of a value that is not finite


def fixed(decimals: int) -> Callable[[float], str]:
    """Format function with a fixed number of decimals and a thin space between thousands."""
    return lambda value: f"{value:,.{decimals}f}".replace(",", "\u2009") if math.isfinite(value) else MISSING


def significant(value: float) -> str:
    """Format a value with three significant digits, or without decimals from 100 on."""
    if not math.isfinite(value):
        return MISSING
    return fixed(0)(value) if value == 0 or abs(value) >= 99.95 else f"{value:#.3g}"
