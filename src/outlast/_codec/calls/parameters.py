"""The parameters of a function: which calls fit, and values by name.

Invariants:
  * `call_of(by_name(bound))` calls the function with the same values;
  * `values_of` fills nothing in: a parameter that the caller left out has no value in it.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import ParamSpec

import msgspec

from outlast._codec.faults import Fault
from outlast._shapes import is_any_tuple, is_dict
from outlast.errors import RegistrationError

P = ParamSpec("P")

REST = inspect.Parameter.VAR_POSITIONAL
EXTRA = inspect.Parameter.VAR_KEYWORD
EMPTY = inspect.Parameter.empty
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_BY_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)

Arguments = tuple[tuple[object, ...], dict[str, object]]


class Bound(msgspec.Struct, frozen=True):
    """The arguments of a call that fits its function."""

    args: tuple[object, ...]
    kwargs: dict[str, object]
    encoded: bytes | None = None  # ahead
    digest: bytes | None = None


class Parameters:
    """The parameters of one function.

    Attributes:
        names: those that can be given by position.
        defaults: the default of each parameter that has one.
        rest: the name of `*args`, if there is one.
        extra: the name of `**kwargs`, if there is one.
    """

    __slots__ = (
        "_required",
        "_title",
        "by_name",
        "defaults",
        "extra",
        "names",
        "rest",
        "signature",
    )

    def __init__(self, fn: Callable[P, object], *, is_method: bool) -> None:
        signature = inspect.signature(fn)
        parameters = list(signature.parameters.values())[1 if is_method else 0 :]
        kinds = {parameter.kind: parameter.name for parameter in parameters}
        self._title = title_of(fn)
        self.signature = signature.replace(parameters=parameters)
        self.by_name = {parameter.name: parameter for parameter in parameters}
        self.names = tuple(p.name for p in parameters if p.kind in _POSITIONAL)
        self.defaults: dict[str, object] = {
            p.name: p.default for p in parameters if p.default is not EMPTY
        }
        self.rest = kinds.get(REST)
        self.extra = kinds.get(EXTRA)
        required = [p for p in parameters if p.default is EMPTY and p.kind not in (REST, EXTRA)]
        has_required_keyword = any(p.kind is inspect.Parameter.KEYWORD_ONLY for p in required)
        # -1: a keyword-only parameter without default, so no positional call is complete.
        self._required = -1 if has_required_keyword else len(required)

    def bind(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> Bound:
        """Return the arguments in their parameters' order.

        Raises:
            TypeError: the function cannot be called like this.
        """
        if not kwargs and 0 <= self._required <= len(args) <= len(self.names):
            return Bound(args, {})
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self._title}: {error}") from None
        return Bound(bound.args, bound.kwargs)

    def values_of(self, bound: Bound) -> dict[str, object]:
        """Return each parameter's value; what a caller left out is not in it."""
        values: dict[str, object] = dict(zip(self.names, bound.args, strict=False))
        if not bound.kwargs and len(bound.args) <= len(self.names):
            return values
        rest = bound.args[len(self.names) :]
        if rest and self.rest is not None:
            values[self.rest] = rest
        extra: dict[str, object] = {}
        for name, value in bound.kwargs.items():
            parameter = self.by_name.get(name)
            is_own = parameter is not None and parameter.kind in _BY_KEYWORD
            (values if is_own else extra)[name] = value
        if extra and self.extra is not None:
            values[self.extra] = extra
        return values

    def completed(self, values: Mapping[str, object]) -> dict[str, object]:
        """Return values by parameter name with the defaults of those that are missing.

        They are in the parameters' order, however they were given.
        """
        known = {**self.defaults, **values}
        return {name: known[name] for name in self.by_name if name in known}

    def call_of(self, values: Mapping[str, object]) -> Arguments:
        """Return (args, kwargs) for values by parameter name."""
        names = self.names
        if len(values) == len(names) and all(map(values.__contains__, names)):
            return tuple(map(values.__getitem__, names)), {}
        args: list[object] = []
        kwargs: dict[str, object] = {}
        rest = values.get(self.rest) if self.rest is not None else None
        # What stands before these cannot be skipped: a gap takes the default.
        fixed = [
            index
            for index, name in enumerate(self.names)
            if rest or (name in values and self.by_name[name].kind is _POSITIONAL[0])
        ]
        fixed_count = fixed[-1] + 1 if fixed else 0
        is_gapless = True
        for index, name in enumerate(self.names):
            if name not in values:
                is_gapless = is_gapless and index < fixed_count
                if is_gapless:
                    args.append(self.by_name[name].default)
            elif is_gapless:
                args.append(values[name])
            else:
                kwargs[name] = values[name]
        args.extend(rest if is_any_tuple(rest) else ())
        for name, value in values.items():
            if name == self.extra and is_dict(value):
                kwargs.update({f"{key!s}": item for key, item in value.items()})
            elif self.by_name[name].kind is inspect.Parameter.KEYWORD_ONLY:
                kwargs[name] = value
        return tuple(args), kwargs

    def moved_from_extra(self, wire: Mapping[object, object]) -> dict[object, object]:
        """Return the stored arguments that `**kwargs` took and that have a parameter today.

        What is left of `**kwargs` is among them, under its name.

        Raises:
            Fault: such a parameter has a stored value of its own.
        """
        extra = wire.get(self.extra)
        if not is_dict(extra):
            return {}
        own = [name for name in extra if self._is_by_keyword(name)]
        for name in own:
            if name in wire:
                raise Fault(
                    f"stored twice, by position and as one of the arguments that `**{self.extra}` "
                    f"accepted when the parameter was positional-only: make it positional-only "
                    f"again, or declare the changed function under another name="
                ).under(f".{name}")
        moved = {name: extra[name] for name in own}
        if moved:
            moved[self.extra] = {k: v for k, v in extra.items() if k not in moved}
        return moved

    def _is_by_keyword(self, name: object) -> bool:
        parameter = self.by_name.get(name) if type(name) is str else None
        return parameter is not None and parameter.kind in _BY_KEYWORD

    def needs(self, name: str) -> bool:
        """Whether a parameter must be given."""
        parameter = self.by_name[name]
        return parameter.default is EMPTY and parameter.kind not in (REST, EXTRA)

    def missing(self, values: Mapping[str, object]) -> list[Fault]:
        """Return a fault for each parameter that needs a value and has none."""
        return [
            Fault("missing argument").under(f".{name}")
            for name in self.by_name
            if name not in values and self.needs(name)
        ]


def names_around(fn: object, localns: Mapping[str, object]) -> Mapping[str, object]:
    """Return the names that a function's annotations may use."""
    inner = inspect.unwrap(fn) if callable(fn) else fn
    names: dict[str, object] = getattr(inner, "__globals__", {})
    return {**names, **names_in_closure(fn), **localns}


def names_in_closure(fn: object) -> dict[str, object]:
    """Return the variables of the functions around this one, as far as they are set."""
    inner = inspect.unwrap(fn) if callable(fn) else fn
    free: tuple[str, ...] = getattr(getattr(inner, "__code__", None), "co_freevars", ())
    cells: object = getattr(inner, "__closure__", None)
    names: dict[str, object] = {}
    for name, cell in zip(free, cells if is_any_tuple(cells) else (), strict=False):
        try:
            names[name] = getattr(cell, "cell_contents", None)
        except ValueError:
            continue  # not set yet: it is assigned below the definition
    return names


class UnresolvedName(RegistrationError):
    """An annotation names something that is not defined, or not yet."""


def resolved_hints(fn: object, localns: Mapping[str, object]) -> dict[str, object]:
    """Return a function's annotations with every name resolved.

    Raises:
        RegistrationError: a name is not defined (yet).
    """
    try:
        return typing.get_type_hints(
            fn, localns={**names_in_closure(fn), **localns}, include_extras=True
        )
    except NameError as error:
        raise UnresolvedName(f"{title_of(fn)}: its annotations do not resolve: {error}") from None
    except Exception as error:  # noqa: BLE001 - annotations are code of the user's
        raise RegistrationError(
            f"{title_of(fn)}: its annotations do not resolve: {error}"
        ) from None


def title_of(fn: object) -> str:
    """Return how messages call a function."""
    return f"{getattr(fn, '__qualname__', 'the function')}()"
