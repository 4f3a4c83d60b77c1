"""What a user gives on a command line: JSON, `key=value` pairs, lengths of time."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import msgspec
from typing_extensions import override

from outlast._codec import Bound
from outlast._codec.jsontext import RepeatedName, members_once, refuse_repeated_names
from outlast._registry import WorkflowDefinition
from outlast._shapes import is_dict, is_list
from outlast._wording.durations import seconds_of
from outlast.errors import DecodingError, UsageError


def json_of(given: str, what: str) -> object:
    """Return JSON data, given as text, as `@file`, or as `-` for stdin.

    Raises:
        UsageError: it is not JSON, or the file cannot be read.
    """
    text = _text_of(given, what)
    try:
        data: object = json.loads(
            text, parse_constant=_refuse_constant, object_pairs_hook=members_once
        )
    except (ValueError, RecursionError) as error:
        hint = ""
        if given == text and text.replace("_", "").replace("-", "").isalnum():
            hint = f"; put a string in quotes: '\"{text}\"'"
        raise UsageError(f"{what} is not JSON ({error}){hint}") from None
    return data


def _text_of(given: str, what: str) -> str:
    try:
        if given == "-":
            return sys.stdin.read()
        if given.startswith("@"):
            return Path(given[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"{what} cannot be read from {given}: {reason}") from None
    return given


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def arguments_of(definition: WorkflowDefinition, pairs: Sequence[str], given: str | None) -> Bound:
    """Return a workflow's arguments from `key=value` pairs or from `--input`.

    Raises:
        UsageError: they do not fit; every fault is named.
    """
    if given is not None and pairs:
        raise UsageError("give the input as key=value or as --input, not both")
    signature = definition.signature
    try:
        if given is not None:
            return signature.from_json(json_of(given, "--input"))
        return signature.from_strings(_pairs(pairs))
    except DecodingError as error:
        usage = f"{definition.fn.__name__}{_as_written(signature.signature)}"
        raise UsageError(f"the input does not fit {usage}\n  {error}") from None


class _Written:
    """An annotation that is text in the program: it is shown as written, without quotes."""

    def __init__(self, annotation: str) -> None:
        self._annotation = annotation

    @override
    def __repr__(self) -> str:
        return self._annotation


def _as_written(signature: inspect.Signature) -> str:
    """Return a signature as its program has it, with `from __future__ import annotations` too."""

    def written(annotation: object) -> object:
        return _Written(annotation) if isinstance(annotation, str) else annotation

    parameters = [
        parameter.replace(annotation=written(parameter.annotation))
        for parameter in signature.parameters.values()
    ]
    returns = written(signature.return_annotation)
    return f"{signature.replace(parameters=parameters, return_annotation=returns)}"


def input_by_schema(schema: Mapping[str, object], pairs: Sequence[str]) -> dict[str, object]:
    """Return a workflow's input as JSON data from `key=value` pairs, by its published schema.

    As `arguments_of` does by annotations: what is declared as text is taken as it is, all else is
    read as JSON, and as text where the JSON does not fit. What fits neither is left to the server.
    """
    members = schema.get("properties")
    known = members if is_dict(members) else {}
    found: dict[str, object] = {}
    for name, text in _pairs(pairs).items():
        try:
            found[name] = _read(known.get(name), text, schema)
        except RepeatedName as error:
            raise UsageError(f"{name}: {error}") from None
    return found


def _read(wanted: object, text: str, root: Mapping[str, object]) -> object:
    if is_dict(wanted) and wanted.keys() <= _PLAIN_TEXT and wanted.get("type") == "string":
        return text
    try:
        data: object = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return text
    refuse_repeated_names(text)
    fits_as_text = not _fits(wanted, data, root) and _fits(wanted, text, root)
    return text if fits_as_text else data


def _fits(schema: object, data: object, root: Mapping[str, object], depth: int = 20) -> bool:
    """Tell whether data may be what a schema wants, as far as its outermost type tells."""
    if not is_dict(schema) or depth == 0:
        return True
    reference = schema.get("$ref")
    if isinstance(reference, str):
        named = root.get("$defs")
        target = named.get(reference.rpartition("/")[2]) if is_dict(named) else None
        return _fits(target, data, root, depth - 1)
    members = schema.get("anyOf")
    if is_list(members):
        return any(_fits(member, data, root, depth - 1) for member in members)
    values = schema.get("enum")
    if is_list(values):
        return any(type(value) is type(data) and value == data for value in values)
    kinds = _KINDS.get(f"{schema.get('type')}")
    return kinds is None or type(data) in kinds


_PLAIN_TEXT = frozenset({"type", "default"})
_KINDS: dict[str, frozenset[type]] = {
    "null": frozenset({type(None)}),
    "boolean": frozenset({bool}),
    "integer": frozenset({int}),
    "number": frozenset({int, float}),
    "string": frozenset({str}),
    "array": frozenset({list}),
    "object": frozenset({dict}),
}


def data_of_pairs(pairs: Sequence[str]) -> dict[str, object]:
    """Return `name=value` pairs as JSON data; a value that is no JSON is a text."""
    found: dict[str, object] = {}
    for name, text in _pairs(pairs).items():
        try:
            found[name] = json.loads(text, object_pairs_hook=members_once)
        except RepeatedName as error:
            raise UsageError(f"{name}: {error}") from None
        except (ValueError, RecursionError):
            found[name] = text
    return found


def _pairs(pairs: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"{pair!r} is not key=value")
        if name in found:
            raise UsageError(f"argument {name!r} is given twice")
        found[name] = text
    return found


def seconds_option(option: str, text: str) -> float:
    """Return a length of time in seconds.

    Raises:
        UsageError: it is none.
    """
    try:
        seconds = seconds_of(float(text) if text.replace(".", "", 1).isdigit() else text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None
    if seconds < 0:
        raise UsageError(f"{option}: {text!r} is negative")
    return seconds
