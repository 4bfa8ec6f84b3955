"""Load the S3 client library: late, since it takes a quarter of a second and most nodes have no S3."""

from __future__ import annotations

import threading
from importlib import import_module

_MODULES = ("minio.credentials.providers", "minio.error", "bacalhau_nats.clients.s3_pool")
_loading = threading.Lock()


def load() -> None:
    """Import the library and what it is made of. Blocking.

    One thread at a time: threads that import packages with circles in them side by side may find half of one.
    """
    with _loading:
        for name in _MODULES:
            import_module(name)
