"""CPU, memory, disk and GPU: parse, add, subtract, compare.

CPU is counted in thousandths of a core so that sums stay exact; memory and disk are bytes.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from bacalhau_nats.domain.model import Model
from bacalhau_nats.domain.spec import ResourcesConfig
from bacalhau_nats.errors import InvalidSpec

_POWERS = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5, "e": 6}
_SIZE = re.compile(r"^([0-9][0-9,]*(?:\.[0-9]*)?|\.[0-9]+)\s*([a-z]*)$")


class Resources(Model):
    """An amount of what a node has to give."""

    milli_cpu: int = 0
    memory: int = 0
    disk: int = 0
    gpu: int = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources.model_construct(
            milli_cpu=self.milli_cpu + other.milli_cpu,
            memory=self.memory + other.memory,
            disk=self.disk + other.disk,
            gpu=self.gpu + other.gpu,
        )

    def __sub__(self, other: Resources) -> Resources:
        """Subtract; nothing falls below zero."""
        return Resources.model_construct(
            milli_cpu=max(0, self.milli_cpu - other.milli_cpu),
            memory=max(0, self.memory - other.memory),
            disk=max(0, self.disk - other.disk),
            gpu=max(0, self.gpu - other.gpu),
        )

    def fits_in(self, room: Resources) -> bool:
        """Say whether this amount can be taken from ``room``."""
        return (
            self.milli_cpu <= room.milli_cpu
            and self.memory <= room.memory
            and self.disk <= room.disk
            and self.gpu <= room.gpu
        )

    def lacking(self, room: Resources) -> str:
        """Name what does not fit in ``room``, with both amounts; empty when all fits."""
        pairs = (
            ("CPU", self.milli_cpu, room.milli_cpu, show_cpu),
            ("memory", self.memory, room.memory, show_bytes),
            ("disk", self.disk, room.disk, show_bytes),
            ("GPU", self.gpu, room.gpu, str),
        )
        return ", ".join(
            f"{name} {show(need)} of {show(has)}" for name, need, has, show in pairs if need > has
        )


NOTHING = Resources()


def parse(config: ResourcesConfig) -> Resources:
    """Read the strings of a job. Raises InvalidSpec naming the field that does not parse."""
    return Resources(
        milli_cpu=parse_cpu(config.cpu),
        memory=parse_bytes(config.memory, "memory"),
        disk=parse_bytes(config.disk, "disk"),
        gpu=parse_gpu(config.gpu),
    )


def parse_cpu(text: str) -> int:
    """Read ``500m`` or ``0.5`` as thousandths of a core, truncated to 1 m; empty is 0."""
    cleaned = normalise(text)
    if not cleaned:
        return 0
    try:
        amount = Decimal(cleaned[:-1]) if cleaned.endswith("m") else Decimal(cleaned) * 1000
        if not amount.is_finite() or amount < 0:
            raise InvalidOperation
    except InvalidOperation:
        raise InvalidSpec(
            f"invalid CPU value: {text}", hint="write cores as 0.5 or thousandths of a core as 500m"
        ) from None
    return int(amount)


def parse_bytes(text: str, field: str = "size") -> int:
    """Read ``512Mb`` (powers of 1000), ``1GiB`` (powers of 1024) or bare bytes; empty is 0."""
    cleaned = normalise(text)
    if not cleaned:
        return 0
    match = _SIZE.match(cleaned)
    unit = match.group(2) if match else ""
    base = 1024 if unit.endswith(("i", "ib")) else 1000
    power = _POWERS.get(unit.removesuffix("b").removesuffix("i") if unit != "b" else "b")
    if match is None or power is None:
        raise InvalidSpec(f"invalid {field} value: {text}", hint="write a size such as 512Mb or 1.5GiB")
    return int(Decimal(match.group(1).replace(",", "")) * base**power)


def parse_gpu(text: str) -> int:
    """Read a whole number of GPUs; empty is 0."""
    cleaned = normalise(text)
    if not cleaned:
        return 0
    if not cleaned.isdigit():
        raise InvalidSpec(f"invalid GPU value: {text}", hint="write a whole number of GPUs")
    return int(cleaned)


def normalise(text: str) -> str:
    """Write a resource string as it is stored: lower case, no blanks."""
    return "".join(text.lower().split())


def show_cpu(milli: int) -> str:
    """Write thousandths of a core as cores."""
    return f"{milli / 1000:g}"


def show_bytes(size: int) -> str:
    """Write a size for people, in SI units with one decimal."""
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if amount < 1000:  # noqa: PLR2004 - SI steps
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} PB"
