"""What the demo's agents read: modules of the running Python's standard library."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass

FUNCTIONS = 4
"""So many functions of a module are shown to the reader, who picks one by its number."""

# Those with several documented functions come first; all are small.
_PREFERRED = (
    "textwrap",
    "heapq",
    "statistics",
    "fnmatch",
    "bisect",
    "secrets",
    "shutil",
    "difflib",
    "calendar",
    "random",
    "posixpath",
    "tokenize",
)
_DOCSTRING_CHARS = 300
_SIGNATURE_CHARS = 80


@dataclass(frozen=True, slots=True)
class Function:
    """A public function, and the beginning of its docstring."""

    name: str
    signature: str
    docstring: str

    @property
    def summary(self) -> str:
        """The first sentence of its docstring."""
        return self.docstring.partition(". ")[0].rstrip(".") + "."


@dataclass(frozen=True, slots=True)
class Source:
    """What the reader sees of a module: the first of its public functions with a docstring."""

    module: str
    functions: list[Function]


def modules(limit: int) -> list[str]:
    """Return the modules to document: at most `limit` of those that have enough functions."""
    found = [name for name in _PREFERRED if len(read_module(name).functions) == FUNCTIONS]
    return found[:limit]


def read_module(name: str) -> Source:
    """Read what a module defines. Importing these modules has no effect."""
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError:
        return Source(name, [])
    mine = {name, f"_{name}"}  # the second one has what is written in C
    functions = [
        _function(key, value)
        for key, value in vars(module).items()
        if inspect.isroutine(value)
        and value.__module__ in mine
        and value.__name__ == key  # else it is a second name of another one
        and not key.startswith("_")
    ]
    return Source(name, [f for f in functions if f.docstring][:FUNCTIONS])


def _function(name: str, value: Callable[..., object]) -> Function:
    try:
        # Annotations are left out: they take more of a small model's attention than they give.
        found = inspect.signature(value)
        plain = [p.replace(annotation=p.empty) for p in found.parameters.values()]
        signature = f"{name}{inspect.Signature(plain)}"
    except ValueError:
        signature = f"{name}(...)"  # some of those in C do not tell
    if len(signature) > _SIGNATURE_CHARS:
        signature = f"{name}(...)"
    return Function(name, signature, _beginning(inspect.getdoc(value) or ""))


def _beginning(docstring: str) -> str:
    """Return its first two paragraphs as one: more of them confuses a small model."""
    text = " ".join(" ".join(docstring.split("\n\n")[:2]).split())
    if len(text) <= _DOCSTRING_CHARS:
        return text
    sentences, dot, _ = text[:_DOCSTRING_CHARS].rpartition(". ")
    return f"{sentences}{dot}".strip() or text[:_DOCSTRING_CHARS]
