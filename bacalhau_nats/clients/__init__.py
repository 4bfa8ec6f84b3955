"""Clients of services out of this project that several rooms speak to."""
