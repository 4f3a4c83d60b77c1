"""`Run.update`: a request that a run answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar, overload

import msgspec

from outlast._engine.open_engine import EngineCore
from outlast._engine.remote import UPDATE_STEP
from outlast._engine.verbs.updates import declared_update, json_of, payload_of, result_of
from outlast._execution.bodies.context import step_dedup
from outlast._execution.run_context import current_context, in_run
from outlast._handles.declarations import Update
from outlast._messages.payloads import typed_payload
from outlast._messages.updates import KeptUpdate, update_message
from outlast._registry import Registry, UpdateDefinition
from outlast._wording.durations import seconds_of, text_of
from outlast._wording.names import check_name
from outlast._world import within
from outlast.types import Duration, RunId

A = TypeVar("A")
B = TypeVar("B")


class UpdateVerbs(ABC):
    """The verb of a `Run` that waits for what a handler in its code returns."""

    __slots__ = ()

    @property
    @abstractmethod
    def id(self) -> str:
        """The run's id."""

    @abstractmethod
    def _engine(self) -> EngineCore:
        """Return the engine to ask; NotInRun in workflow code."""

    @abstractmethod
    def _registry(self) -> Registry:
        """Return what is declared here."""

    @overload
    async def update(
        self,
        name: Update[A, B],
        value: A,
        *,
        id: str | None = None,
        timeout: Duration | None = None,
    ) -> B: ...
    @overload
    async def update(
        self,
        name: str,
        value: object = None,
        *,
        id: str | None = None,
        timeout: Duration | None = None,
    ) -> object: ...
    async def update(
        self,
        name: Update[A, B] | str,
        value: object = None,
        *,
        id: str | None = None,
        timeout: Duration | None = None,
    ) -> object:
        """Send an update, and return what its handler returns.

        The same `id` with the same value is the same update: it is handled once, and whoever asks
        again is answered from what is kept, also when the run has ended. By its plain name, an
        update takes JSON data or a value of its type, and gives JSON data.

        Raises:
            UpdateRejected: its validator refused it, or the value does not fit; no record is left.
            UpdateFailed: its handler raised; the run goes on.
            UpdateAborted: it was accepted, and the run ended before its handler did.
            UpdateConflict: the id was used for another update.
            RunNotFound, RunClosed, MailboxFull: nothing was stored.
            EncodingError, DecodingError: the value does not fit; nothing was sent.
            WaitTimeout: it took longer than `timeout`; the update goes on.
        """
        definition = _definition(self._registry(), name)
        if id is not None:
            check_name("an update's id", id)
        payload = (
            typed_payload(name.request, value)
            if isinstance(name, Update)
            else payload_of(definition, value)
        )
        work = self._kept(definition.name, payload, id or "")
        if timeout is None:
            kept = await work
        else:
            seconds = seconds_of(timeout)
            late = f"update {definition.name!r} of run {self.id!r} was not done"
            message = f"{late} within {text_of(seconds)}; it goes on"
            kept = await within(work, seconds, message)
        data = result_of(self.id, definition.name, kept)
        if not isinstance(name, Update):
            return json_of(definition, data)
        if not in_run():
            return name.response.decode(data)
        what = f"the result of update {name.name!r} of run {self.id!r}"
        return await current_context().read(what, lambda: name.response.decode(data))

    async def _kept(self, name: str, payload: bytes, update_id: str) -> KeptUpdate:
        if in_run():
            arguments = (self.id, name, payload, update_id)
            answer = await current_context().step(UPDATE_STEP, arguments)
            stage, outcome = msgspec.convert(answer, tuple[str, bytes])
            return KeptUpdate(b"", "refused" if stage == "refused" else "done", outcome)
        core = self._engine()
        now = core.world.now()
        # A step may run again: what it asks without an id of its own goes under the step's.
        chosen = update_id or step_dedup() or core.world.new_id()
        return await core.update(update_message(RunId(self.id), name, payload, chosen, at=now))


def _definition(registry: Registry, name: Update[A, B] | str) -> UpdateDefinition:
    if isinstance(name, Update):
        return UpdateDefinition(name.name, name.request, name.response)
    return declared_update(registry, name)
