"""Does: bids, fetches inputs, runs executions, publishes results."""
