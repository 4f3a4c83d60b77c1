"""Waiting for people and other systems inside an agent's run: their answers come by tokens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from pydantic import JsonValue
from pydantic_ai.durable_exec import ExternalEventError, ExternalEventWaiter

from outlast._authoring.workflow import wf
from outlast._execution.run_context import next_number
from outlast.agents.steps import agent_run
from outlast.errors import WaitTimeout


class TokenWaiter(ExternalEventWaiter):
    """Waits by a token of the run, which may leave memory meanwhile.

    Whoever is asked gets the token's id; `engine.answer(id, value)` answers, or the inbox does.
    """

    async def wait(
        self,
        name: str,
        *,
        ask: Callable[[str], Awaitable[JsonValue]],
        timeout: timedelta | None,
    ) -> JsonValue:
        """Ask once, and return the answer.

        Raises:
            ExternalEventError: nobody has answered in time.
        """
        place = f"{agent_run.get()}/event/{name}"
        key = f"{place}#{next_number(place)}"
        token = wf.token(object, timeout=timeout, key=f"{key}/token", title=name)

        async def asks() -> object:
            return await ask(token.id)

        answer = await wf.step(f"ask:{name}", asks, key=f"{key}/ask", returns=object)
        if answer is None:
            try:
                answer = await token.wait()
            except WaitTimeout as error:
                raise ExternalEventError(f"{error}") from error
        said: JsonValue = answer  # type: ignore[assignment]  # JSON-like
        return said
