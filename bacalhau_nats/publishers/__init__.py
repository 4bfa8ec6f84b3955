"""Where results go: one module each, found by entry point."""
