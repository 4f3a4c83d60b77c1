"""Classes as they were stored, and as they are today."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import NamedTuple, TypedDict

import msgspec
from pydantic import BaseModel


@dataclass
class WalletV1:
    budget: int = 40


@dataclass
class WalletV2:
    budget_left: int = 40


@dataclass
class Wallet:
    cents_left: int = 4_000


@dataclass
class Other:
    owner: str = ""


class ModelV1(BaseModel):
    budget: int = 40


class Model(BaseModel):
    left: int = 40


class StructV1(msgspec.Struct):
    budget: int = 40


class Struct(msgspec.Struct):
    left: int = 40


class StructV2(msgspec.Struct):
    budget: int
    currency: str


class DictV1(TypedDict):
    budget: int


class Dict(TypedDict, total=False):
    left: int


class RowV1(NamedTuple):
    budget: int = 40


class Row(NamedTuple):
    left: int = 40


class ColorV1(enum.Enum):
    RED = 1


class Color(enum.Enum):
    ROSE = 1


@dataclass
class Team:
    wallets: list[Wallet] = field(default_factory=list[Wallet])
    best: Wallet | Other | None = None


def first(old: WalletV1) -> WalletV2:
    return WalletV2(old.budget)


def second(old: WalletV2) -> Wallet:
    return Wallet(old.budget_left * 100)
