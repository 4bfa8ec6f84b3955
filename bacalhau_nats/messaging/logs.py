"""Output of executions on the bus: `LogWriter` stores it, `read_logs` gives it back, live or later.

A stream of output (stdout, stderr, event) is a row of bytes, and a chunk says where in that row it belongs.
The offset is all that writer and readers share: a chunk stored twice is recognised by it, a missing one is
noticed by it, and a writer that comes back goes on where the stored row ends.
"""

from __future__ import annotations

from bacalhau_nats.messaging.log_reader import last_offsets, newest_seq, read_entries, read_logs
from bacalhau_nats.messaging.log_writer import LogWriter

__all__ = ["LogWriter", "last_offsets", "newest_seq", "read_entries", "read_logs"]
