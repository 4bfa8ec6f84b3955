"""Decides: takes nudges, places executions, concludes jobs."""
