"""The command line of bacalhau-nats."""
