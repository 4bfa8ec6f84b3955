"""Compare what is wanted with what is, and say what to do: `reconcile`."""
