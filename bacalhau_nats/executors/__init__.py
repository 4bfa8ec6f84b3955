"""Engines: one module each, found by entry point, opened as a context manager."""
