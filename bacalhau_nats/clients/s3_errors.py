"""What went wrong with S3, in words: which object, where, why, and whether to try again."""

from __future__ import annotations

import re
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError  # what the client library raises

_TEMPORARY = frozenset(
    {
        "InternalError",
        "ServiceUnavailable",
        "SlowDown",
        "RequestTimeout",
        "OperationAborted",
        "TooManyRequests",
        "Throttling",
    }
)
_OTHERS_MAY = frozenset(  # with other credentials, or another look
    {
        "PreconditionFailed",
        "AccessDenied",
        "SignatureDoesNotMatch",
        "InvalidAccessKeyId",
        "ExpiredToken",
        "InvalidToken",
        "RequestTimeTooSkewed",
    }
)
_HINTS = {
    "NoSuchBucket": "check Bucket, Region and Endpoint",
    "NoSuchKey": "check Key; the key of a folder ends in '/', and '*' stands for any ending",
    "AccessDenied": "give the credentials of this node the right to it",
    "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY of this node is not that of its access key",
    "InvalidAccessKeyId": "the service does not know AWS_ACCESS_KEY_ID of this node",
    "ExpiredToken": "renew the credentials of this node",
    "RequestTimeTooSkewed": "set the clock of this node",
    "PermanentRedirect": "set Region to that of the bucket",
    "AuthorizationHeaderMalformed": "set Region to that of the bucket",
    "EntityTooLarge": "an object of this size must come in parts: use the publisher s3",
    "PreconditionFailed": "it was changed while it was read",
}
_TAG = {tag: re.compile(f"<{tag}>([^<]*)</{tag}>") for tag in ("Code", "Message")}
_TOO_MANY = 429
_SERVER_FAULT = 500
_LONGEST = 300


class S3Failed(Exception):
    """A request to S3 failed. The text names the object, the service and the cause.

    ``again``: the same may work later. ``elsewhere``: another node may do it, with other credentials.
    """

    def __init__(self, message: str, *, again: bool = False, elsewhere: bool = False, hint: str = "") -> None:
        super().__init__(message)
        self.again = again
        self.elsewhere = elsewhere or again
        self.hint = hint


class AddressDenied(Exception):
    """The service's name leads to an address that must not be used."""


def shown(bucket: str, key: str = "", endpoint: str = "") -> str:
    """Write where something is: ``s3://bucket/key at https://host``."""
    at = f" at {_bare(endpoint)}" if endpoint else ""
    return f"s3://{bucket}/{key}{at}"


def explain(error: Exception, where: str) -> S3Failed:
    """Turn what the client library raises for ``where`` into words; what is not about the service is raised again."""
    from minio.error import InvalidResponseError, MinioException, S3Error, ServerError  # noqa: PLC0415 - loaded already
    from urllib3.exceptions import HTTPError, MaxRetryError, SSLError  # noqa: PLC0415 - the same

    match error:
        case S3Failed():
            return error
        case S3Error():
            return _refused(
                where, error.code or "an unknown error", error.message or "", error.response.status
            )
        case ServerError():
            return of_status(where, error.status_code)
        case InvalidResponseError():
            return of_status(where, error._code)  # noqa: SLF001 - it has no name outside
        case MinioException() | ValueError() | AddressDenied():
            return S3Failed(f"{where}: {_short(str(error))}")
        case ParseError():
            return S3Failed(f"{where}: the answer is not what an S3 service says", hint="check Endpoint")
        case MaxRetryError(reason=SSLError() as reason):
            hint = "AWS_CA_BUNDLE names the file of certificates that this node trusts"
            return S3Failed(f"{where}: {_short(str(reason))}", elsewhere=True, hint=hint)
        case HTTPError() | ConnectionError() | TimeoutError():
            return S3Failed(f"{where}: {_transport(error)}", again=True)
        case _:
            raise error


def of_answer(where: str, status: int, body: bytes) -> S3Failed:
    """Say what an answer that is no success means; its body may be an error of S3."""
    text = body.decode(errors="replace")
    code, message = (_TAG[tag].search(text) for tag in ("Code", "Message"))
    if code is None:
        return of_status(where, status)
    return _refused(where, code.group(1), message.group(1) if message else "", status)


def of_status(where: str, status: int) -> S3Failed:
    """Say what an answer without any explanation means."""
    again = status >= _SERVER_FAULT or status == _TOO_MANY
    return S3Failed(f"{where}: the service answered {status}", again=again, elsewhere=status in (401, 403))


def _refused(where: str, code: str, message: str, status: int) -> S3Failed:
    said = f": {_short(message)}" if message else ""
    again = code in _TEMPORARY or status >= _SERVER_FAULT or status == _TOO_MANY
    return S3Failed(
        f"{where}: {code}{said}", again=again, elsewhere=code in _OTHERS_MAY, hint=_HINTS.get(code, "")
    )


def _transport(error: Exception) -> str:
    """Name the cause of a broken request; the library wraps it several times and shows its own objects."""
    from urllib3.exceptions import (  # noqa: PLC0415 - loaded already  # fmt: skip
        ConnectTimeoutError,
        IncompleteRead,
        MaxRetryError,
        NewConnectionError,
        ProtocolError,
        ReadTimeoutError,
    )

    match error:
        case MaxRetryError(reason=Exception() as reason):
            return _transport(reason)
        case NewConnectionError():
            return f"cannot connect: {_short(str(error).rpartition(': ')[2])}"
        case ReadTimeoutError() | TimeoutError():
            return "it did not answer in time"
        case ConnectTimeoutError():
            return "it did not accept a connection in time"
        case IncompleteRead():
            return "the connection ended in the middle of the content"
        case ProtocolError(args=(_, Exception() as cause)):
            return (
                _transport(cause)
                if isinstance(cause, IncompleteRead)
                else f"the connection broke: {_short(str(cause))}"
            )
        case _:
            return _short(str(error)) or type(error).__name__


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _bare(endpoint: str) -> str:
    """Leave out the user, password and query that somebody may have put into an address."""
    parts = urlsplit(endpoint)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
