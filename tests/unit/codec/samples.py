"""One class of each kind that can be a declared type."""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import InitVar, dataclass, field
from decimal import Decimal
from typing import Generic, NamedTuple, NewType, NotRequired, TypedDict, TypeVar
from zoneinfo import ZoneInfo

import msgspec

T = TypeVar("T")
Number = TypeVar("Number", bound=int)
OrderId = NewType("OrderId", str)
BERLIN = ZoneInfo("Europe/Berlin")
NOON = dt.datetime(2024, 5, 1, 12, 0, 0, 123456, tzinfo=dt.UTC)


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Mixed(enum.Enum):
    ONE = 1
    PAIR = (1, 2)


class Rights(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


@dataclass
class Item:
    name: str
    price: Decimal = Decimal("0.10")
    tags: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    x: int
    y: float = 0.5


@dataclass
class Order:
    items: list[Item]
    notes: dict[str, int]
    at: dt.datetime | None = None


@dataclass
class Tree:
    value: int
    left: Tree | None = None
    children: list[Tree] = field(default_factory=list["Tree"])


@dataclass
class Ping:
    pong: Pong | None


@dataclass
class Pong:
    ping: Ping | Tree | None


@dataclass
class Box(Generic[T]):
    item: T
    more: list[T] = field(default_factory=list[T])


@dataclass
class IntBox(Box[int]):
    label: str = ""


@dataclass
class Doubler:
    """Changes its field after construction, and has state that is no field."""

    x: int
    total: int = field(init=False)
    seed: InitVar[int] = 0

    def __post_init__(self, seed: int) -> None:
        self.x *= 2
        self.total = self.x + seed
        self.cache: dict[str, int] = {}


class Point(msgspec.Struct, frozen=True):
    x: int
    y: int = 0


class Tagged(msgspec.Struct, tag="t", rename="camel", array_like=True):
    long_name: str | bytes


class Row(NamedTuple):
    a: int
    b: str = "-"


class Options(TypedDict):
    name: str
    size: NotRequired[int]


class Unknown:
    pass
