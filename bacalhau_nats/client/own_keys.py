"""Results in S3 buckets that the server has not signed: the caller's own AWS credentials do."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from bacalhau_nats.client.wire import PublishedResult

_SHARED = "s3"


def given_or_own(environ: Mapping[str, str] | None) -> Mapping[str, str]:
    """Give ``environ``, or the environment of this process: where every AWS client finds its credentials."""
    return os.environ if environ is None else environ  # noqa: TID251 - the one place where results need it


async def sign(items: Sequence[PublishedResult], environ: Mapping[str, str]) -> list[PublishedResult]:
    """Give ``items`` with a URL for each archive in a bucket, where ``environ`` leads to AWS credentials.

    Everything else stays as it is; for folders see `s3_results`. Raises Unavailable when a URL cannot be signed.
    """
    if not any(item.get("Type", "").strip().lower() == _SHARED for item in items):
        return list(items)
    from bacalhau_nats.clients.denied import DeniedNetworks  # noqa: PLC0415 - few results are so
    from bacalhau_nats.clients.s3 import S3Clients  # noqa: PLC0415 - the same
    from bacalhau_nats.clients.s3_signing import ResultSigner, SigningSettings  # noqa: PLC0415 - the same
    from bacalhau_nats.domain import spec  # noqa: PLC0415 - the same

    clients = S3Clients(environ, DeniedNetworks())
    try:
        signer = ResultSigner(clients, SigningSettings())
        signed = [
            await signer.signed(spec.SpecConfig(type=item.get("Type", ""), params=item.get("Params") or {}))
            for item in items
        ]
    finally:
        clients.close()
    return [
        {**item, "Type": made.type, "Params": dict(made.params)}
        for item, made in zip(items, signed, strict=True)
    ]
