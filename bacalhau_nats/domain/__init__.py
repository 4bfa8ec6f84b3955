"""Pure rules of the field: no I/O, no clock, no asyncio, no randomness."""
