"""JSON Schema (2020-12) of declared types: what `from_json` takes, and `to_json` gives.

Invariants:
  * a named class is described once, under its name, and referred to: recursive types end;
  * two classes of one name get two names;
  * a schema may allow more than `from_json` does, where JSON Schema cannot say it; never less.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

Schema: TypeAlias = dict[str, object]

_FORMATS = {
    "datetime": "date-time",
    "date": "date",
    "time": "time",
    "timedelta": "duration",
    "Decimal": "decimal",
    "UUID": "uuid",
    **dict.fromkeys(("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"), "path"),
}


class Schemas:
    """The named schemas that were met, below one prefix of references."""

    def __init__(self, prefix: str = "#/$defs/") -> None:
        self.named: dict[str, Schema] = {}
        self._prefix = prefix
        self._names: dict[object, str] = {}

    def reference(self, key: object, name: str, make: Callable[[], Schema]) -> Schema:
        """Return a reference to the schema of `key`, which `make` describes when it is new."""
        known = self._names.get(key)
        if known is None:
            plain = "".join(c if c.isalnum() or c in "._-" else "_" for c in name)
            known, number = plain, 1
            while known in self.named:
                number += 1
                known = f"{plain}_{number}"
            self._names[key] = known
            self.named[known] = {}  # before its members are described: one may be itself
            self.named[known].update(make())
        return {"$ref": f"{self._prefix}{known}"}


def text_schema(name: str) -> Schema:
    """Return the schema of a class that is written as text."""
    found = _FORMATS.get(name)
    return {"type": "string"} if found is None else {"type": "string", "format": found}


def object_schema(
    title: str, properties: dict[str, Schema], required: Sequence[str], *, is_open: bool = False
) -> Schema:
    """Return the schema of an object with named members."""
    schema: Schema = {"type": "object", "title": title, "properties": properties}
    if required:
        schema["required"] = list(required)
    if not is_open:
        schema["additionalProperties"] = False
    return schema


def whole(schema: Schema, made: Schemas) -> Schema:
    """Return a schema that stands for itself, with all that it refers to."""
    return {**schema, "$defs": made.named} if made.named else schema
