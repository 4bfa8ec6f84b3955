"""Replays recorded exchanges of the public API and says where an answer differs.

The form of the files is described in ``tests/exchanges/README.md``. Websockets and steps that need another
server than the one given are left out.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

FOLDER = Path(__file__).parent.parent / "exchanges"
SHORT = 10
_PLACE = re.compile(r"\{\{(.*?)\}\}")
_KINDS = {
    "time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
    "string": r"[\s\S]*",
    "text": r"[\s\S]+",
    "semver": r"v?\d+\.\d+\.\d+.*",
    "digits": r"\d+",
    "port": r"\d+",
    "uuid": r"[0-9a-f-]{36}",
    "reqid": r"[A-Za-z0-9]{32}",
    "gotime": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000 UTC",
    "base64": r"[A-Za-z0-9+/=]+",
    "int": r"-?\d+",
    "ns": r"\d+",
}
_TYPES: dict[str, type | tuple[type, ...]] = {
    "int": int,
    "ns": int,
    "number": (int, float),
    "object": dict,
    "list": list,
    "any": object,
}
Step = dict[str, Any]


def scenarios(name: str, *profiles: str) -> dict[str, list[Step]]:
    """Read a file of exchanges; give its scenarios of these profiles by name."""
    found: dict[str, list[Step]] = {}
    for line in (FOLDER / f"{name}.jsonl").read_text().splitlines():
        step = json.loads(line)
        if step["profile"] in profiles:
            found.setdefault(step["scenario"], []).append(step)
    return found


def answer_challenge(phrase: str) -> str:
    """Sign a phrase with the throw-away key, PKCS#1 v1.5 over SHA-256."""
    key = json.loads((FOLDER / "client-key.json").read_text())
    n, d = int(key["n"], 16), int(key["d"], 16)
    size = (n.bit_length() + 7) // 8
    digest = bytes.fromhex("3031300d060960864801650304020105000420")
    digest += hashlib.sha256(base64.b64decode(phrase)).digest()
    padded = b"\x00\x01" + b"\xff" * (size - len(digest) - 3) + b"\x00" + digest
    signature = pow(int.from_bytes(padded, "big"), d, n).to_bytes(size, "big")
    proof = {"PhraseSignature": base64.b64encode(signature).decode(), "PublicKey": key["public_key"]}
    return base64.b64encode(json.dumps(proof).encode()).decode()


@dataclass
class Rules:
    """How one response is compared: places that are soft, unordered or optional."""

    soft: list[str] = field(default_factory=list)
    unordered: list[str] = field(default_factory=list)
    optional: list[str] = field(default_factory=list)

    @staticmethod
    def covers(patterns: list[str], path: str) -> bool:
        for pattern in patterns:
            rule = re.escape(pattern).replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
            if re.fullmatch(rule, path):
                return True
        return False


class Replayer:
    """Runs one scenario against a server; ``names`` is what placeholders stand for."""

    def __init__(self, http: httpx.AsyncClient, server: str) -> None:
        self._http = http
        run = "".join(random.choices(string.ascii_lowercase, k=8))
        self.names = {"run": run, "server.id": server, "server.short": server[:SHORT]}

    async def step(self, step: Step) -> list[str]:
        """Do one exchange; give the differences."""
        for before in [step["before"]] if isinstance(step.get("before"), dict) else []:
            if "answer" in before:
                proof = before["answer"]
                self.names[proof["as"]] = answer_challenge(self.names[proof["phrase"]])
        request, wanted = step["request"], step["response"]
        got = await self._http.send(self._request(request))
        rules = Rules(*(step.get(key) or [] for key in ("soft", "unordered", "optional")))
        differences = [] if got.status_code == wanted["status"] else [f"status {got.status_code}: {got.text}"]
        for name, value in (wanted.get("headers") or {}).items():
            if value is None:
                differences += [f"header {name}: {got.headers[name]}"] if name in got.headers else []
            else:
                differences += self._compare(value, got.headers.get(name), f"header {name}", rules)
        if "body" in wanted:
            differences += self._compare(wanted["body"], got.json(), "", rules)
        elif "text" in wanted and got.text != wanted["text"]:
            differences.append(f"text {got.text!r}")
        return differences

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
        query = self._fill(request.get("query") or "", quoted=True)
        made = self._http.build_request(
            request["method"],
            "http://gateway:1234/",
            headers={key: self._fill(value) for key, value in headers.items() if value is not None},
            content=content.encode() or None,
        )
        path = self._fill(request["path"], quoted=True) + (f"?{query}" if query else "")
        made.url = made.url.copy_with(raw_path=path.encode())
        return made

    def _fill(self, value: Any, *, quoted: bool = False) -> Any:
        if isinstance(value, str):

            def known(match: re.Match[str]) -> str:
                found = self.names.get(match[1], match[0])
                return quote(found, safe="") if quoted else found

            return _PLACE.sub(known, value)
        if isinstance(value, dict):
            return {self._fill(key): self._fill(item) for key, item in value.items()}
        return [self._fill(item) for item in value] if isinstance(value, list) else value

    # --- comparing --------------------------------------------------------------------------------------

    def _compare(self, want: Any, got: Any, path: str, rules: Rules) -> list[str]:
        if rules.covers(rules.soft, path):
            return [] if type(want) is type(got) else [f"{path}: {got!r} is of another kind"]
        if isinstance(want, str):
            return self._compare_text(want, got, path)
        if isinstance(want, dict) and isinstance(got, dict):
            return list(self._compare_objects(want, got, path, rules))
        if isinstance(want, list) and isinstance(got, list):
            return list(self._compare_lists(want, got, path, rules))
        same = want == got and isinstance(want, bool) == isinstance(got, bool)
        return [] if same else [f"{path}: {got!r} instead of {want!r}"]

    def _compare_objects(self, want: Step, got: Step, path: str, rules: Rules) -> Iterator[str]:
        for key in want.keys() | got.keys():
            here = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
            if key not in got:
                if not rules.covers(rules.optional, here):
                    yield f"{here} is missing"
            elif key not in want:
                yield f"{here} is too much: {got[key]!r}"
        for key in want:
            if key in got:
                here = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
                yield from self._compare(want[key], got[key], here, rules)

    def _compare_lists(self, want: list[Any], got: list[Any], path: str, rules: Rules) -> Iterator[str]:
        if len(want) != len(got):
            yield f"{path}: {len(got)} items instead of {len(want)}"
            return
        if not rules.covers(rules.unordered, path):
            for index, (one, other) in enumerate(zip(want, got, strict=True)):
                yield from self._compare(one, other, f"{path}/{index}", rules)
            return
        left = list(got)
        for index, one in enumerate(want):
            for other in left:
                before = dict(self.names)
                if not self._compare(one, other, f"{path}/{index}", rules):
                    left.remove(other)
                    break
                self.names = before
            else:
                yield f"{path}: nothing is like {one!r} in {left!r}"

    def _compare_text(self, want: str, got: Any, path: str) -> list[str]:
        whole = re.fullmatch(r"\{\{@(\w+)\}\}", want)
        kind = _TYPES.get(whole[1]) if whole else None
        if kind is not None and not isinstance(got, str):
            return [] if isinstance(got, kind) else [f"{path}: {got!r} instead of {want}"]
        if not isinstance(got, str):
            return [f"{path}: {got!r} instead of {want!r}"]
        pattern, new = self._pattern(want)
        match = re.fullmatch(pattern, got)
        if match is None:
            return [f"{path}: {got!r} instead of {want!r}"]
        for index, name in enumerate(new):
            value = match[f"n{index}"]
            if value in self.names.values():
                return [f"{path}: {got!r} is known as another name than {name}"]
            self.names[name] = value
            if name.endswith(".id"):
                self.names[f"{name[:-3]}.short"] = value[:SHORT]
        return []

    def _pattern(self, text: str) -> tuple[str, list[str]]:
        new: list[str] = []

        def part(match: re.Match[str]) -> str:
            name = match[1]
            if name.startswith("@"):
                return f"(?:{_KINDS[name[1:]]})"
            if name in self.names:
                return re.escape(self.names[name])
            new.append(name)
            return f"(?P<n{len(new) - 1}>.+?)"

        pieces = _PLACE.split(text)
        places = list(_PLACE.finditer(text))
        pattern = re.escape(pieces[0])
        for index, place in enumerate(places):
            pattern += part(place) + re.escape(pieces[2 * index + 2])
        return pattern, new
