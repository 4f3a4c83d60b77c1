"""Updates over HTTP: a request that a run answers."""

from __future__ import annotations

import asyncio
from typing import TypeVar, overload
from uuid import uuid4

import msgspec

from outlast._handles.declarations import Update
from outlast._wording.durations import seconds_of, text_of
from outlast._wording.names import check_name
from outlast.client.asking import PATIENCE, Patience, quoted
from outlast.client.refusals import AWAY
from outlast.client.steering import SteeredRun
from outlast.errors import WaitTimeout
from outlast.types import Duration

A = TypeVar("A")
B = TypeVar("B")


class AskedRun(SteeredRun):
    """A run on a server, as far as its code is asked."""

    __slots__ = ()

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
        """Send an update, and return what its handler returns; see `Run.update`.

        A server that is away meanwhile is waited for, up to a minute: the update is done once.
        """
        return await self._update(name, value, id=id, timeout=timeout)

    async def _update(
        self,
        name: Update[A, B] | str,
        value: object,
        *,
        id: str | None = None,
        timeout: Duration | None = None,
    ) -> object:
        # Not the engine's: a request whose answer was lost is made again under the same id.
        chosen = f"{uuid4()}" if id is None else check_name("an update's id", id)
        text, data = name, value
        if isinstance(name, Update):
            text = name.name
            data = name.request.to_json(name.request.decode(name.request.encode(value)))
        work = self._updated(f"{text}", {"value": data, "id": chosen})
        if timeout is None:
            result = await work
        else:
            late = f"update {text!r} of run {self._id!r} was not done"
            try:
                async with asyncio.timeout(seconds_of(timeout)):
                    result = await work
            except TimeoutError:
                length = text_of(seconds_of(timeout))
                raise WaitTimeout(f"{late} within {length}; it goes on") from None
        return name.response.from_json(result) if isinstance(name, Update) else result

    async def _updated(self, name: str, body: dict[str, object]) -> object:
        patience = Patience()
        path = f"{self._path}/updates/{quoted(name)}?timeout={PATIENCE:g}"
        while True:
            try:
                found = await self._asking.ask("POST", path, body, wait=PATIENCE)
            except AWAY as error:
                await patience.wait(error)
                continue
            answer = msgspec.convert(found, dict[str, object])
            if "result" in answer:
                return answer["result"]
            await patience.wait(None)  # it waited for us, or it drains and answers at once
            patience.renew()
