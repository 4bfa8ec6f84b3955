"""How a conformance suite says what is wrong."""

from __future__ import annotations


def must(holds: bool, otherwise: str) -> None:
    """Raise AssertionError with ``otherwise`` unless ``holds``; unlike ``assert``, also under ``python -O``."""
    if not holds:
        raise AssertionError(otherwise)
