"""A compute-over-data orchestrator whose nodes talk only over NATS."""

__version__ = "0.1.0"

__all__ = ["__version__"]
