"""The front door: HTTP and NATS callers ask the same functions."""
