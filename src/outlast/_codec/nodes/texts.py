"""The standard classes that are written as text, and how.

Invariants:
  * `read(write(value))` equals the value and has its type, zone included;
  * the canonical form of two equal values is the same, whatever their zone or trailing zeros.
"""

from __future__ import annotations

import functools
import math
import re
import sys
from datetime import date, datetime, time, timedelta, tzinfo
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

from outlast._codec.faults import Fault
from outlast._codec.nodes.scalars import TextNode

_EPOCH = datetime(1, 1, 1)  # noqa: DTZ001 - the zero of a subtraction, no moment
_MICROSECOND = timedelta(microseconds=1)
_ZONE_NAME = re.compile(r"\[([A-Za-z0-9_+\-./]{1,80})\]$")
_DURATION = re.compile(
    r"([+-]?)P(?:(\d{1,10})D)?(?:T(?:(\d{1,12})H)?(?:(\d{1,14})M)?"
    r"(?:(\d{1,16})(?:[.,](\d{1,6}))?S)?)?",
    re.ASCII,
)
# As many digits as a literal may have: int() on longer text takes quadratic time.
_DECIMAL = re.compile(
    r"[+-]?(\d{1,4300}(\.\d{0,4300})?|\.\d{1,4300})([eE][+-]?\d{1,18})?", re.ASCII
)


_FRACTION = re.compile(r"[+-]?\d{1,4300}(/\d{1,4300})?", re.ASCII)


@functools.cache
def text_nodes() -> dict[type, TextNode]:
    """Return the node of each such class; late, since decimal and uuid cost milliseconds."""
    from decimal import Decimal
    from uuid import UUID

    nodes = [
        TextNode(datetime, write=_write_datetime, read=_read_datetime, canonical=_instant),
        TextNode(date, write=_write_iso, read=date.fromisoformat),
        TextNode(time, write=_write_time, read=_read_time, canonical=_canonical_time),
        TextNode(timedelta, write=write_duration, read=read_duration),
        TextNode(Decimal, write=_write_decimal, read=_read_decimal, canonical=_canonical_decimal),
        TextNode(UUID, write=_write_uuid, read=UUID),
    ]
    return {cls: node for node in nodes for cls in node.types}


_IP = ("IPv4Address", "IPv4Interface", "IPv4Network", "IPv6Address", "IPv6Interface", "IPv6Network")


def text_node_of(cls: type) -> TextNode | None:
    """Return the node of a standard class that is written as text."""
    found = text_nodes().get(cls)
    if found is not None:
        return found
    # Who has such a class has imported its module, and the imports cost milliseconds.
    if cls is complex or cls.__module__ in ("fractions", "ipaddress"):
        return text_node_named(cls.__name__, cls)
    return None


@functools.cache
def text_node_named(name: str, cls: type | None = None) -> TextNode | None:
    """Return the node of a standard class by the name that stored data has for it."""
    node: TextNode | None = None
    if name == "complex":
        node = TextNode(complex, write=_write_complex, read=complex, canonical=_canonical_complex)
    elif name == "Fraction":
        from fractions import Fraction

        node = TextNode(Fraction, write=str, read=_read_fraction)
    elif name in _IP:
        import ipaddress

        address: type = getattr(ipaddress, name)
        node = TextNode(address, write=str, read=address)
    else:
        for known in text_nodes().values():
            if known.name == name:
                return known
    return node if node is not None and (cls is None or cls in node.types) else None


def _write_complex(value: object) -> str:
    if type(value) is not complex:
        raise TypeError("a complex was checked before")
    if not (math.isfinite(value.real) and math.isfinite(value.imag)):
        raise Fault("NaN and infinity cannot be stored")
    return f"{value!r}"


def _canonical_complex(value: object) -> object:
    if type(value) is not complex:
        raise TypeError("a complex was checked before")
    _write_complex(value)
    return [value.real + 0.0, value.imag + 0.0]  # -0.0 and 0.0 are equal


def _read_fraction(text: str) -> object:
    from fractions import Fraction

    if _FRACTION.fullmatch(text) is None:
        raise ValueError("no fraction")
    return Fraction(text)


@functools.cache
def path_node(declared: type[PurePath]) -> TextNode:
    """Return the node of a path class; `Path` stands for what this system makes of it."""
    concrete: type[PurePath] = type(Path()) if declared is Path else declared
    if declared is PurePath:
        concrete = type(PurePath())
    node = TextNode(concrete, write=_write_path, read=concrete)
    node.json_rank = 7  # any text is a path
    return node


PATHS: frozenset[type] = frozenset(
    {Path, PurePath, PurePosixPath, PureWindowsPath, type(Path()), type(PurePath())}
)


def _zone_key(zone: tzinfo | None) -> str | None:
    # Only who imported zoneinfo can hold a ZoneInfo, and the import costs milliseconds.
    module = sys.modules.get("zoneinfo")
    if module is None or zone is None:
        return None
    from zoneinfo import ZoneInfo

    return zone.key if type(zone) is ZoneInfo else None


def _zone_of(key: str) -> tzinfo:
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(key)
    except Exception:  # noqa: BLE001 - the key is outside data, ZoneInfo documents several errors
        raise Fault(f"the time zone {key!a} is not known on this machine") from None


def _offset_of(value: datetime | time) -> timedelta | None:
    try:
        return value.utcoffset()
    except Exception:  # noqa: BLE001 - a user's tzinfo may raise anything
        raise Fault("the tzinfo raises an error when asked for its offset") from None


def _write_datetime(value: object) -> str:
    if type(value) is not datetime:
        raise TypeError("a datetime was checked before")
    if _offset_of(value) is None:
        raise Fault("a datetime without a zone is ambiguous: give it one, such as datetime.UTC")
    key = _zone_key(value.tzinfo)
    text = value.isoformat()
    return text if key is None else f"{text}[{key}]"


def _read_datetime(text: str) -> object:
    found = _ZONE_NAME.search(text)
    plain = text if found is None else text[: found.start()]
    value = datetime.fromisoformat(plain)
    offset = value.utcoffset()
    if offset is None:
        raise Fault("a datetime without a zone is ambiguous: write it as 2024-05-01T12:00:00+02:00")
    if found is None:
        return value
    zone = _zone_of(found.group(1))
    # The wall time and the name may fit two instants (autumn) or none (spring): `fold` says
    # which one was meant, and the offset says which fold it was.
    for fold in (0, 1):
        named = value.replace(tzinfo=zone, fold=fold)
        if named.utcoffset() == offset:
            return named
    # The zone's rules have changed since: the instant stays, the wall time moves.
    return value.astimezone(zone)


def _instant(value: object) -> object:
    if type(value) is not datetime:
        raise TypeError("a datetime was checked before")
    _write_datetime(value)
    offset = _offset_of(value)
    since = value.replace(tzinfo=None) - _EPOCH
    return (since - (offset or timedelta())) // _MICROSECOND


def _write_time(value: object) -> str:
    if type(value) is not time:
        raise TypeError("a time was checked before")
    if value.tzinfo is None:
        return value.isoformat()
    key = _zone_key(value.tzinfo)
    if key is not None:
        return f"{value.replace(tzinfo=None).isoformat()}[{key}]"
    if _offset_of(value) is None:
        raise Fault("the time's tzinfo has neither a fixed offset nor a name to store")
    return value.isoformat()


def _read_time(text: str) -> object:
    found = _ZONE_NAME.search(text)
    if found is None:
        return time.fromisoformat(text)
    return time.fromisoformat(text[: found.start()]).replace(tzinfo=_zone_of(found.group(1)))


def _canonical_time(value: object) -> object:
    if type(value) is not time:
        raise TypeError("a time was checked before")
    text = _write_time(value)
    offset = _offset_of(value)
    if offset is None:
        return text
    of_day = datetime.combine(_EPOCH, value.replace(tzinfo=None)) - _EPOCH
    return ["offset", (of_day - offset) // _MICROSECOND]


def _write_iso(value: object) -> str:
    if type(value) is not date:
        raise TypeError("a date was checked before")
    return value.isoformat()


def write_duration(value: object) -> str:
    """Return a timedelta as ISO 8601 writes it, exact to the microsecond."""
    if type(value) is not timedelta:
        raise TypeError("a timedelta was checked before")
    sign = "-" if value.days < 0 else ""
    size = -value if value.days < 0 and value != timedelta.min else value
    if value == timedelta.min:
        # Its negation does not exist: one day more than the largest.
        return "-P999999999D"
    seconds = f"{size.seconds}.{size.microseconds:06d}" if size.microseconds else f"{size.seconds}"
    return f"{sign}P{size.days}DT{seconds}S"


def read_duration(text: str) -> timedelta:
    """Return the timedelta of an ISO 8601 duration of days and less."""
    found = _DURATION.fullmatch(text)
    if found is None or text[-1] in "PT":
        raise ValueError("not an ISO 8601 duration")
    sign, days, hours, minutes, seconds, fraction = found.groups(default="")
    size = timedelta(
        days=int(days or 0),
        hours=int(hours or 0),
        minutes=int(minutes or 0),
        seconds=int(seconds or 0),
        microseconds=int(fraction.ljust(6, "0")),
    )
    return -size if sign == "-" else size


def _write_decimal(value: object) -> str:
    from decimal import Decimal

    if type(value) is not Decimal:
        raise TypeError("a Decimal was checked before")
    if not value.is_finite():
        raise Fault("NaN and infinity cannot be stored")
    return str(value)


def _read_decimal(text: str) -> object:
    from decimal import Decimal

    if _DECIMAL.fullmatch(text) is None:
        raise ValueError("not a decimal number")
    return Decimal(text)


def _canonical_decimal(value: object) -> object:
    from decimal import Decimal

    if type(value) is not Decimal:
        raise TypeError("a Decimal was checked before")
    _write_decimal(value)
    sign, digits, exponent = value.as_tuple()
    text = "".join(map(str, digits)).lstrip("0")
    kept = text.rstrip("0")
    if not kept or type(exponent) is not int:
        return "0"
    return f"{'-' if sign else ''}{kept}e{exponent + len(text) - len(kept)}"


def _write_uuid(value: object) -> str:
    from uuid import UUID

    if type(value) is not UUID:
        raise TypeError("a UUID was checked before")
    return UUID.__str__(value)


def _write_path(value: object) -> str:
    if not isinstance(value, PurePath):
        raise TypeError("a path was checked before")
    return str(value)
