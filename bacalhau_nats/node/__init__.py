"""The composition root: settings in, roles running. The only room that knows every concrete thing."""

from bacalhau_nats.node.run import Started, run

__all__ = ["Started", "run"]
