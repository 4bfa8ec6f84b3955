"""What the service protocol of NATS (ADR-32, `nats micro`) needs of a handler of models."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from nats.micro.request import Request, ServiceError

from bacalhau_nats.domain.model import Model
from bacalhau_nats.errors import BacalhauError
from bacalhau_nats.messaging import codec

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One question a service answers: a model comes in, a model goes out.

    A BacalhauError raised by ``handler`` is sent to whoever asked; anything else is logged under an id,
    and only the id is sent.
    """

    name: str
    subject: str
    takes: type[Model]
    handler: Callable[[Any], Awaitable[Model]]


def answering(endpoint: Endpoint) -> Callable[[Request], Awaitable[None]]:
    """Wrap an endpoint's handler: bytes in, one answer out, whatever happens."""
    allowed = codec.by_name(endpoint.takes)

    async def answer(request: Request) -> None:
        try:
            question = codec.decode(request.data, request.headers, allowed)
            payload, headers = codec.encode(await endpoint.handler(question))
        except codec.MalformedMessage as malformed:
            codec.log_dropped(request.subject, malformed)
            raise ServiceError("BadRequest", f"The question cannot be read: {malformed}") from malformed
        except BacalhauError as error:
            payload, headers = b"", codec.error_headers(error)
        except Exception as error:  # an answer is owed, and it must not show our insides
            error_id = uuid4().hex[:12]
            log.exception("endpoint %s failed, id %s", endpoint.name, error_id)
            raise ServiceError("InternalError", f"A bug; look for id {error_id} in the log.") from error
        with suppress(ValueError):  # somebody who does not want an answer
            await request.respond(payload, headers)

    return answer
