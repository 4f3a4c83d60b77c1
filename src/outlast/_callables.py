"""What may be declared as a step, a workflow or a handler: a function written with `def`.

Invariants:
  * what could not run, or would run something else after a restart, is refused when it is
    declared, with the way to write it.
"""

from __future__ import annotations

import functools
import gc
import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FunctionType

from outlast.errors import RegistrationError


def check_function(decorator: str, function: object, *, is_method: bool = False) -> None:
    """Refuse what cannot be declared with a decorator.

    Raises:
        RegistrationError: it is no function, or one that cannot be called later by its name.
    """
    if isinstance(function, staticmethod):
        raise RegistrationError(
            f"{decorator} got a staticmethod object: write @staticmethod above {decorator}"
        )
    if isinstance(function, classmethod):
        raise RegistrationError(
            f"{decorator} got a classmethod object, whose class is not stored: move the function "
            f"out of the class"
        )
    if isinstance(function, functools.partial):
        raise RegistrationError(
            f"{decorator} got a partial: define a function that calls it, whose parameters are "
            f"stored"
        )
    if inspect.ismethod(function):
        raise RegistrationError(
            f"{decorator} got the bound method {function.__qualname__}: its object is not stored. "
            f"Define a function that takes what it needs"
        )
    if not inspect.isfunction(function):
        raise RegistrationError(
            f"{decorator} needs a function, got {function!r}: define one with `def` or `async def`"
        )
    name = function.__qualname__
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise RegistrationError(
            f"{decorator}: {name} is a generator, whose values would be lost: return a list, or "
            f"write to a Stream"
        )
    if not is_method and _is_method(function):
        raise RegistrationError(
            f"{decorator}: {name} is a method, and its object is not stored: move it out of the "
            f"class, or write @staticmethod above {decorator} and take what it needs"
        )
    inner = inspect.unwrap(function)
    if inspect.iscoroutinefunction(inner) and not inspect.iscoroutinefunction(function):
        raise RegistrationError(
            f"{decorator}: {name} is wrapped in a plain function, which returns a coroutine: make "
            f"the wrapper `async def`"
        )


def _is_method(function: FunctionType) -> bool:
    outer = function.__qualname__.rpartition(".")[0]
    parameters = function.__code__.co_varnames[: function.__code__.co_argcount]
    return (
        outer != "" and not outer.endswith("<locals>") and parameters[:1] in (("self",), ("cls",))
    )


def place_of(definition: Callable[..., object] | type[object]) -> str:
    """Return `file.py:line` of a function, or of the first function of a class."""
    for function in functions_of(definition):
        code = function.__code__
        return f"{Path(code.co_filename).name}:{code.co_firstlineno}"
    return "?"


def functions_of(definition: object) -> Iterator[FunctionType]:
    """Return the function of a definition, or those that its class defines."""
    if inspect.isfunction(definition):
        yield definition
    elif inspect.isclass(definition):
        for member in vars(definition).values():
            inner: object = getattr(member, "fn", member)
            if inspect.isfunction(inner):
                yield inner


def file_of(definition: object) -> str:
    """Return the file whose code defined a function or a class, empty when there is none."""
    for function in functions_of(definition):
        file = function.__globals__.get("__file__")
        if isinstance(file, str):
            return os.path.realpath(file)
    return ""


def does_the_same(one: object, other: object) -> bool:
    """Tell whether two definitions of one name are the same code over the same values."""
    pairs = (list(functions_of(one)), list(functions_of(other)))
    return len(pairs[0]) == len(pairs[1]) and all(map(_is_same_function, *pairs))


def _is_same_function(one: FunctionType, other: FunctionType) -> bool:
    return (
        one.__code__ == other.__code__
        and _are_same(one.__defaults__ or (), other.__defaults__ or ())
        and _are_same(_by_name(one.__kwdefaults__), _by_name(other.__kwdefaults__))
        and _by_name(one.__annotations__) == _by_name(other.__annotations__)
        and _are_same(tuple(_closure(one)), tuple(_closure(other)))
    )


def _by_name(values: Mapping[str, object] | None) -> tuple[object, ...]:
    return tuple(part for name in sorted(values or {}) for part in (name, (values or {})[name]))


def _closure(function: FunctionType) -> Iterator[object]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            yield None  # not set yet


def _are_same(one: tuple[object, ...], other: tuple[object, ...]) -> bool:
    return len(one) == len(other) and all(map(_is_same, one, other))


def _is_same(one: object, other: object) -> bool:
    if one is other:
        return True
    if inspect.isfunction(one) and inspect.isfunction(other) and one is not other:
        return one.__code__ == other.__code__ and not one.__closure__ and not other.__closure__
    return type(one) is type(other) and isinstance(one, _PLAIN) and one == other


_PLAIN = (str, bytes, int, float, complex, bool, type(None))


def collect() -> None:
    """Let go of definitions that nothing refers to but themselves."""
    gc.collect()
