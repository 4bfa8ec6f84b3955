"""Replays recorded exchanges of the public API and says where an answer differs.

The form of the files is described in ``tests/exchanges/README.md``.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import json
import random
import string
import tarfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPrivateNumbers,
    RSAPublicNumbers,
    rsa_crt_dmp1,
    rsa_crt_dmq1,
    rsa_crt_iqmp,
    rsa_recover_prime_factors,
)
from cryptography.hazmat.primitives.hashes import SHA256
from jwt.algorithms import RSAAlgorithm
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bacalhau_nats.domain.manifest import MANIFEST
from tests.support.comparing import PLACE, SHORT, Comparison, Instead, Rules

FOLDER = Path(__file__).parent.parent / "exchanges"
_ASK_AGAIN = 0.1
_FRAME_PATIENCE = 20.0
Step = dict[str, Any]


def scenarios(name: str, *profiles: str) -> dict[str, list[Step]]:
    """Read a file of exchanges; give its scenarios of these profiles by name."""
    found: dict[str, list[Step]] = {}
    for line in (FOLDER / f"{name}.jsonl").read_text().splitlines():
        step = json.loads(line)
        if step["profile"] in profiles:
            found.setdefault(step["scenario"], []).append(step)
    return found


def _client_key() -> Step:
    found: Step = json.loads((FOLDER / "client-key.json").read_text())
    return found


@cache
def _private_key() -> RSAPrivateKey:
    n, e, d = (int(_client_key()[name], 16) for name in ("n", "e", "d"))
    p, q = rsa_recover_prime_factors(n, e, d)
    parts = (rsa_crt_dmp1(d, p), rsa_crt_dmq1(d, q), rsa_crt_iqmp(p, q))
    return RSAPrivateNumbers(p, q, d, *parts, RSAPublicNumbers(e, n)).private_key()


def sign(message: bytes) -> bytes:
    """Sign with the throw-away key, PKCS#1 v1.5 over SHA-256."""
    return _private_key().sign(message, PKCS1v15(), SHA256())


def answer_challenge(phrase: str) -> str:
    """Answer the challenge of a phrase with the throw-away key."""
    signature = base64.b64encode(sign(base64.b64decode(phrase))).decode()
    proof = {"PhraseSignature": signature, "PublicKey": _client_key()["public_key"]}
    return base64.b64encode(json.dumps(proof).encode()).decode()


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def make_jwt(claims: Step, header: Step | None = None, *, spoil: bool = False) -> str:
    """Make a token signed with the throw-away key, whatever its header says; ``{"in_s": n}`` is a time from now."""
    now = int(time.time())
    filled = {
        name: now + value["in_s"] if isinstance(value, dict) and "in_s" in value else value
        for name, value in claims.items()
    }
    head = {"alg": "RS256", "kid": "k1", "typ": "JWT"} | (header or {})
    text = ".".join(_base64url(json.dumps(part).encode()) for part in (head, filled))
    signature = bytearray(sign(text.encode()))
    if spoil:
        signature[len(signature) // 2] ^= 1
    return f"{text}.{_base64url(bytes(signature))}"


def key_set(key_id: str = "k1") -> bytes:
    """Publish the throw-away key as a provider of identities does."""
    key = RSAAlgorithm.to_jwk(_private_key().public_key(), as_dict=True)
    return json.dumps({"keys": [key | {"kid": key_id, "use": "sig", "alg": "RS256"}]}).encode()


def provider_settings(files_url: str) -> list[str]:
    """Name the provider of the profile ``sso``, whose keys are at ``jwks.json`` of that server."""
    given = {
        "ProviderID": "test-idp",
        "ProviderName": "Test Provider",
        "JWKSUri": f"{files_url}/jwks.json",
        "Issuer": "https://issuer.example/",
        "Audience": "the-audience",
        "DeviceClientID": "client-1",
        "TokenEndpoint": f"{files_url}/token",
        "DeviceAuthorizationEndpoint": f"{files_url}/device",
        "PollingInterval": "5",
        "Scopes": "openid,profile",
    }
    return [f"API.Auth.Oauth2.{key}={value}" for key, value in given.items()]


class Replayer:
    """Runs one scenario against a server whose node id is ``server``.

    ``bases`` are the addresses of the profile's servers by name, "" the one asked usually; ``names`` is what
    further placeholders stand for. Without ``wording`` texts for people need only be there. ``instead`` are
    values that may be there in the place of recorded ones.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        server: str,
        *,
        bases: Mapping[str, str] | None = None,
        names: Mapping[str, str] | None = None,
        wording: bool = True,
        instead: Sequence[Instead] = (),
        added: Sequence[str] = (),
    ) -> None:
        self._http = http
        self._bases = bases or {"": "http://gateway:1234"}
        self._wording, self._instead, self._added = wording, instead, added
        run = "".join(random.choices(string.ascii_lowercase, k=8))
        self.names = {"run": run, "server.id": server, "server.short": server[:SHORT]}
        self._comparison = Comparison(self.names)
        for name, value in (names or {}).items():
            self._comparison.bind(name, value)

    async def step(self, step: Step, *, patience: float = 60.0, grace: float = 1.0) -> list[str]:
        """Do one exchange; give the differences.

        ``patience``: seconds to ask again for what the step awaits. ``grace``: seconds that the rest may come later
        than that; a step that awaits nothing has none.
        """
        await self._prepare(step.get("before"))
        deadline = 0.0
        while True:
            before = dict(self.names)
            if step["request"].get("websocket"):
                got = await self._stream(step["request"])
            else:
                got = await self._ask(step, patience)
            found = self._differences(step, got)
            deadline = deadline or time.monotonic() + (grace if "repeat" in step else 0.0)
            if not found or time.monotonic() >= deadline:
                return found
            self.names.clear()
            self.names.update(before)
            await asyncio.sleep(_ASK_AGAIN)

    async def _prepare(self, before: Any) -> None:
        for one in before if isinstance(before, list) else [before] if before else []:
            match one:
                case {"answer": {"phrase": phrase, "as": name}}:
                    self.names[name] = answer_challenge(self.names[phrase])
                case {"jwt": {"as": name, **token}}:
                    self.names[name] = make_jwt(**token)
                case {"sleep_s": seconds}:
                    await asyncio.sleep(seconds)
                case {"clock": name}:
                    self.names[name] = str(int(time.time()))
                case _:
                    raise ValueError(f"cannot do {one} before a step")

    async def _ask(self, step: Step, patience: float) -> Step:
        repeat = step.get("repeat") or {"until": [], "within_s": 0}
        deadline = time.monotonic() + min(repeat["within_s"], patience)
        while True:
            got = _answer(await self._http.send(self._request(step["request"])))
            body = got.get("body")
            if all(_holds(one, body) for one in repeat["until"]) or time.monotonic() > deadline:
                return got
            await asyncio.sleep(_ASK_AGAIN)

    async def _stream(self, request: Step) -> Step:
        options = request["websocket"] if isinstance(request["websocket"], dict) else {}
        address = self._address(request).replace("http", "ws", 1)
        headers = {key: self._fill(value) for key, value in (request.get("headers") or {}).items()}
        frames: list[Any] = []
        try:
            async with connect(address, additional_headers=headers, compression=None) as socket:
                while len(frames) < options.get("read_frames", len(frames) + 1):
                    async with asyncio.timeout(options.get("wait_s", _FRAME_PATIENCE)):
                        frames.append(json.loads(await socket.recv()))
                return {"status": 101, "frames": _joined(frames), "close": "by the client"}
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else None
            return {"status": 101, "frames": _joined(frames), "close": code}
        except TimeoutError:
            return {"status": 101, "frames": _joined(frames), "close": "not in time"}
        except InvalidStatus as refused:
            answer = refused.response
            headers = list(answer.headers.raw_items())
            return _answer(
                httpx.Response(answer.status_code, headers=headers, content=bytes(answer.body or b""))
            )

    def _differences(self, step: Step, got: Step) -> list[str]:
        kept = (step.get(key) or [] for key in ("soft", "unordered", "optional"))
        rules = Rules(*kept, wording=self._wording, instead=self._instead, added=self._added)
        self._bind(step.get("binds") or {}, got.get("body"), rules)
        wanted, found = step["response"], []
        if got["status"] != wanted["status"]:
            found.append(f"status {got['status']} instead of {wanted['status']}: {got.get('text', '')[:500]}")
        for name, value in (wanted.get("headers") or {}).items():
            given = got["headers"].get(name)
            if value is None:
                found += [f"header {name}: {given}"] if given is not None else []
            else:
                found += self._comparison.differences(value, given, f"header {name}", rules)
        for part, path in (("body", ""), ("frames", "/frames"), ("close", "/close")):
            if part in wanted:
                found += self._comparison.differences(wanted[part], got.get(part), path, rules)
        if "text" in wanted:
            found += self._comparison.differences(wanted["text"], got.get("text"), "/text", rules)
        if "archive" in wanted:
            wished = sorted(wanted["archive"], key=lambda entry: entry["name"])
            given = [entry for entry in _unpacked(got["content"]) if entry["name"] != MANIFEST]  # ours
            found += self._comparison.differences(wished, given, "archive", rules)
        return found

    def _bind(self, places: Mapping[str, str], body: Any, rules: Rules) -> None:
        for name, place in places.items():
            if any(place.startswith(f"{free}/") for free in rules.unordered):
                continue  # which of them it is shows when they are compared
            value = _at(body, place)
            if name not in self.names and isinstance(value, str) and value:
                self._comparison.bind(name, value)

    def _request(self, request: Step) -> httpx.Request:
        headers = (
            {"Content-Type": "application/json"}
            if request.keys() & {"body", "body_text", "body_fill"}
            else {}
        )
        headers |= request.get("headers") or {}
        if "body_fill" in request:
            part = request["body_fill"]
            content = part["prefix"] + part["fill"] * part["count"] + part["suffix"]
        elif "body" in request:
            content = json.dumps(self._fill(request["body"]), separators=(",", ":"), ensure_ascii=False)
        else:
            content = self._fill(request.get("body_text", ""))
        body: Any = content.encode() or None
        if headers.pop("Transfer-Encoding", "") == "chunked":
            body = _in_pieces(content.encode())
        address = self._address(request)
        made = self._http.build_request(
            request["method"],
            address,
            # Blanks at the end of a value are not sent by every library, and are no part of it.
            headers={key: self._fill(value).rstrip() for key, value in headers.items() if value is not None},
            content=body,
        )
        if "path" in request:  # as it is: the library would write some paths in another way
            origin = self._bases[request.get("base", "")]
            made.url = made.url.copy_with(raw_path=address.removeprefix(origin).encode())
        return made

    def _address(self, request: Step) -> str:
        if "url" in request:
            return str(self._fill(request["url"]))
        query = self._fill(request.get("query") or "", quoted=True)
        path = self._fill(request["path"], quoted=True) + (f"?{query}" if query else "")
        return f"{self._bases[request.get('base', '')]}{path}"

    def _fill(self, value: Any, *, quoted: bool = False) -> Any:
        if isinstance(value, str):
            parts = PLACE.split(value)
            for index in range(1, len(parts), 2):
                found = self.names.get(parts[index], f"{{{{{parts[index]}}}}}")
                parts[index] = quote(found, safe="") if quoted else found
            return "".join(parts)
        if isinstance(value, dict):
            return {self._fill(key): self._fill(item) for key, item in value.items()}
        return [self._fill(item) for item in value] if isinstance(value, list) else value


async def _in_pieces(content: bytes) -> AsyncIterator[bytes]:
    for begin in range(0, len(content), 8):
        yield content[begin : begin + 8]


def _answer(response: httpx.Response) -> Step:
    found: Step = {"status": response.status_code, "headers": response.headers, "content": response.content}
    if response.headers.get("content-type", "").startswith("application/json"):
        try:
            found["body"] = response.json()
        except ValueError:
            found["body"] = None
    if not response.content.startswith(b"\x1f\x8b"):
        found["text"] = response.text
    return found


def _at(value: Any, pointer: str) -> Any:
    for part in pointer.split("/")[1:]:
        if part == "#":
            return len(value) if isinstance(value, list) else 0
        try:
            key = part.replace("~1", "/").replace("~0", "~")
            value = value[int(part)] if isinstance(value, list) else value[key]
        except (KeyError, IndexError, TypeError, ValueError):
            return None
    return value


def _holds(condition: Step, body: Any) -> bool:
    found = _at(body, condition["at"])
    if "in" in condition:
        return found in condition["in"]
    if "at_least" in condition:
        return found is not None and found >= condition["at_least"]
    return bool(found) and all(_at(item, condition["of"]) in condition["each_in"] for item in found)


def _joined(frames: list[Any]) -> list[Any]:
    """Join neighbouring frames of one stream, since where they are cut is free."""
    found: list[Any] = []
    for frame in frames:
        before = found[-1] if found else {}
        kinds = [one.get("value", {}).get("Type") for one in (before, frame)]
        if kinds[0] == kinds[1] and not before.get("error") and not frame.get("error"):
            before["value"]["Line"] += frame["value"]["Line"]
        else:
            found.append(frame)
    return found


def _unpacked(content: bytes) -> list[Step]:
    """List a tar.gz by name: kind, permission bits and text of each entry."""
    found = []
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(content))) as archive:
        for entry in archive:
            kind = "dir" if entry.isdir() else "file" if entry.isfile() else "other"
            line = {"name": entry.name.rstrip("/"), "type": kind, "mode": f"{entry.mode & 0o7777:o}"}
            stream = archive.extractfile(entry) if entry.isfile() else None
            found.append(line | ({"text": stream.read().decode()} if stream else {}))
    return sorted(found, key=lambda entry: entry["name"])
