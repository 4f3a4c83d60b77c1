"""Stored values as people see them: by the types that the loaded code declares.

Without its type a dict whose keys no map can hold cannot be told from a list of pairs. What the
code declares says it; where the code is not here, or has changed, the bytes are shown as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from outlast._codec import Adapter, argument_of, encode_wire, shown_json, stored_json
from outlast._registry import Registry


class DeclaredTypes:
    """The types of what the records of one run hold."""

    def __init__(self, registry: Registry | None = None, workflow: str = "") -> None:
        self._registry = registry
        self._workflow = workflow

    def step(self, name: str, data: bytes) -> object:
        """Return what a step returned."""
        known = None if self._registry is None else self._registry.steps.get(name)
        return _shown(None if known is None else known.signature.returns, data)

    def step_arguments(self, name: str, wire: Mapping[str, object]) -> Mapping[str, object]:
        """Return what a step was given."""
        known = None if self._registry is None else self._registry.steps.get(name)
        shown: dict[str, object] = {}
        for parameter, item in wire.items():
            adapter = None if known is None else argument_of(known.signature, parameter)
            shown[parameter] = _shown(adapter, encode_wire(item))
        return shown

    def result(self, data: bytes, workflow: str = "") -> object:
        """Return what a workflow returned; without a name, the run's own."""
        name = workflow or self._workflow
        known = None if self._registry is None else self._registry.workflows.get(name)
        return _shown(None if known is None else known.signature.returns, data)

    def arguments(self, data: bytes) -> object:
        """Return what the run was given."""
        known = None if self._registry is None else self._registry.workflows.get(self._workflow)
        if known is not None:
            signature = known.signature
            try:
                return shown_json(lambda: signature.to_json(data))
            except Exception:  # noqa: BLE001 - a user's class may raise anything
                pass  # stored by an older version of the code: it can still be shown
        return shown_json(lambda: stored_json(data))

    def arguments_to_edit(self, data: bytes) -> object:
        """Return what the run was given, so that a fork that is given it has the same input."""
        shown = self.arguments(data)
        known = None if self._registry is None else self._registry.workflows.get(self._workflow)
        if known is None:
            return shown
        signature = known.signature
        try:
            plain = signature.to_json(data)
            # A key that is text or a number cannot be told from its text.
            if plain == shown or signature.encode(signature.from_json(shown)) == data:
                return shown
        except Exception:  # noqa: BLE001 - a user's class may raise anything
            return shown
        return plain

    def signal(self, name: str, data: bytes) -> object:
        """Return what a signal brought."""
        known = None if self._registry is None else self._registry.signals.get(name)
        return _shown(None if known is None else known.adapter, data)

    def value(self, name: str, data: bytes) -> object:
        """Return a value that the run or a step of it has set."""
        known = None if self._registry is None else self._registry.values.get(name)
        return _shown(None if known is None else known.adapter, data)

    def update(self, name: str, data: bytes) -> object:
        """Return what an update was answered."""
        known = None if self._registry is None else self._registry.updates.get(name)
        return _shown(None if known is None else known.response, data)


UNDECLARED = DeclaredTypes()


def _shown(adapter: Adapter | None, data: bytes) -> object:
    if adapter is not None:
        known = adapter
        try:
            return shown_json(lambda: known.to_json(known.decode(data)))
        except Exception:  # noqa: BLE001 - a user's class may raise anything
            pass  # stored by an older version of the code: it can still be shown
    return shown_json(lambda: stored_json(data))


def adapter_json(
    registry: Registry, kind: Literal["value", "stream"], name: str, data: bytes
) -> object:
    """Return an encoded value as JSON data that programs read back by its declared type."""
    known = registry.values if kind == "value" else registry.streams
    definition = known.get(name)
    if definition is None or definition.adapter is None:
        return stored_json(data)
    return definition.adapter.to_json(definition.adapter.decode(data))
