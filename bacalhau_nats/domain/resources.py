"""CPU, memory, disk and GPU: parse, add, subtract, compare.

CPU is counted in thousandths of a core so that sums stay exact; memory and disk are bytes.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache

from bacalhau_nats.domain.model import Model
from bacalhau_nats.domain.spec import ResourcesConfig
from bacalhau_nats.errors import InvalidSpec

_UNITS = {"": 1, "b": 1} | {
    prefix + ending: base**power
    for power, prefix in enumerate("kmgtpe", start=1)
    for ending, base in (("", 1000), ("b", 1000), ("i", 1024), ("ib", 1024))
}
_SIZE = re.compile(r"^([0-9][0-9,]{0,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})([a-z]*)$")
_CPU = re.compile(
    r"^(?:([+-]?[0-9]{1,40})(m)|([+-]?(?:[0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40})(?:e[+-]?[0-9]{1,3})?))$"
)
_LARGEST = 2**63 - 1  # what a signed 64-bit integer holds; more is a typing mistake


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


@lru_cache(maxsize=4096)
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
    match = _CPU.match(cleaned)
    cores = Decimal(match[1]) / 1000 if match and match[2] else Decimal(match[3]) if match else None
    if cores is None or not 0 <= cores * 1000 <= _LARGEST:
        # The public API prints a number that it could read, but not take, with six decimals.
        raise InvalidSpec(
            f"invalid CPU value: {cleaned if cores is None else f'{cores:.6f}'}",
            hint="write cores as 0.5 or thousandths of a core as 500m",
        )
    return int(cores * 1000)


def parse_bytes(text: str, field: str = "size") -> int:
    """Read ``512Mb`` (powers of 1000), ``1GiB`` (powers of 1024) or bare bytes; empty is 0."""
    cleaned = normalise(text)
    if not cleaned:
        return 0
    match = _SIZE.match(cleaned)
    unit = _UNITS.get(match.group(2)) if match else None
    size = int(Decimal(match.group(1).replace(",", "")) * unit) if match and unit else None
    if size is None or size > _LARGEST:
        raise InvalidSpec(f"invalid {field} value: {cleaned}", hint="write a size such as 512Mb or 1.5GiB")
    return size


def parse_gpu(text: str) -> int:
    """Read a whole number of GPUs; empty is 0."""
    cleaned = normalise(text)
    if not cleaned:
        return 0
    if not (cleaned.isascii() and cleaned.isdigit() and len(cleaned) <= len(str(_LARGEST))):
        raise InvalidSpec(f"invalid GPU value: {cleaned}", hint="write a whole number of GPUs")
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
