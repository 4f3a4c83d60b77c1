"""One turn of a conversation: a run of the agent, from what a user says to its answer.

While it runs, others may steer it, by more text before the next request to the model, or interrupt
it: the response that is under way ends where it is, and what was said so far stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from pydantic_ai import (
    ModelMessage,
    ModelRequest,
    ModelRequestNode,
    ModelResponse,
    UserPromptPart,
)
from pydantic_ai.agent import AbstractAgent, AgentRun
from pydantic_ai.exceptions import RunCancelled
from pydantic_graph import End

from outlast._execution.run_context import KeptError, NotNow, raise_refusal
from outlast.agents.budgets.usage import reported_tokens
from outlast.agents.conversations.entries import (
    Attachment,
    Log,
    Outcome,
    Question,
    TurnUsage,
    usage_of,
)
from outlast.agents.conversations.interruption import (
    Interruption,
    ResponseInterrupted,
    interruption,
)
from outlast.agents.conversations.prompts import Prompt, prompt_of
from outlast.agents.conversations.questions import Listener, listener
from outlast.agents.conversations.window import closed
from outlast.errors import TurnInterrupted

DepsT = TypeVar("DepsT")
OutT = TypeVar("OutT")


class Turn(Generic[DepsT, OutT]):
    """A turn that runs."""

    def __init__(self, log: Log, number: int) -> None:
        self._log = log
        self.number: int = number
        self.usage: TurnUsage = TurnUsage()
        self.model: str = ""
        self.context_tokens: int = 0
        self.budgets: list[str] = []
        self._unmade: set[str] = set()  # calls of tools that wait for an approval
        self._interruption = Interruption()
        self._known = 0  # so many messages of the run are told already
        self._has_all = False  # none comes any more
        self._prompt: Prompt = ""
        self._enqueued: dict[str, Prompt] = {}  # what has steered, by its id
        self._run: AgentRun[DepsT, OutT] | None = None
        self._is_asking = False  # a request to the model is under way
        self._joined: list[asyncio.Future[OutT]] = []
        self._leaving: list[asyncio.Future[None]] = []

    # ------------------------------------------------------------------- from other messages
    async def join(self, text: str, attachments: list[Attachment] | None, sender: str) -> OutT:
        """Say more to the model before its next request, and return the answer of the turn.

        Raises:
            NotNow: the agent has its answer already.
            KeptError: the turn has failed, or was interrupted.
        """
        run = self._run
        if run is None or run.result is not None or self._interruption.is_requested:
            raise NotNow
        prompt = prompt_of(text, attachments)
        parts = [prompt] if isinstance(prompt, str) else prompt
        self._enqueued[run.enqueue(*parts) or ""] = prompt
        self._log.add(
            "user",
            self.number,
            text=text,
            attachments=attachments,
            sender=sender,
            is_steering=True,
        )
        answer: asyncio.Future[OutT] = asyncio.get_running_loop().create_future()
        self._joined.append(answer)
        left: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._leaving.append(left)
        try:
            return await answer
        finally:
            left.set_result(None)

    def interrupt(self) -> None:
        """End the turn: a response is cut off where it is, and tools are cancelled."""
        if self._interruption.is_requested:
            return
        self._interruption.request()
        if self._run is not None and not self._is_asking:
            self._run.cancel()

    # ------------------------------------------------------------------------------ its run
    async def answer(self, prompt: Prompt, run: Callable[[], Awaitable[OutT]]) -> OutT:
        """Run the agent by `run`, which calls `drive`, and return its answer.

        Raises:
            KeptError: it has failed, or was interrupted; what was said stays.
        """
        self._prompt = prompt
        token = interruption.set(self._interruption)
        listening = listener.set(Listener(self._asked, self._answered))
        try:
            output = await run()
        except (RunCancelled, ResponseInterrupted) as error:
            if not self._interruption.is_requested:
                raise await self._failed(error) from error
            raise await self._ended("interrupted", TurnInterrupted()) from None
        except Exception as error:
            raise_refusal(error)
            raise await self._failed(error) from error
        finally:
            listener.reset(listening)
            interruption.reset(token)
        self._end("completed")
        for answer in self._joined:
            answer.set_result(output)
        await self._let_others_end()
        return output

    async def drive(
        self,
        agent: AbstractAgent[DepsT, OutT],
        prompt: Prompt,
        history: list[ModelMessage],
        deps: DepsT,
        *,
        model: str = "",
    ) -> OutT:
        """Run the agent, and add to the conversation what it says; without `model` by its own."""
        try:
            async with agent.iter(
                prompt, message_history=history, deps=deps, model=model or None
            ) as run:
                self._run = run
                node = run.next_node
                while not isinstance(node, End):
                    if self._interruption.is_requested:
                        run.cancel()
                    self._is_asking = isinstance(node, ModelRequestNode)
                    node = await run.next(node)
                    self._tell_some(run.new_messages())
                    self._is_asking = False
        except RunCancelled as error:
            self._tell_rest(error.new_messages())
            raise
        except Exception as error:
            messages = [] if self._run is None else self._run.new_messages()
            self._tell_rest(messages, because=f"{type(error).__name__}: {error}")
            raise
        finally:
            self._is_asking = False
        if run.result is None:
            raise TurnInterrupted
        self._tell_rest(run.result.new_messages())
        return run.result.output

    def _tell_some(self, messages: list[ModelMessage]) -> None:
        """Add the messages that are new; the last of them may change until the next one comes."""
        last = messages[-1] if messages else None
        if not isinstance(last, ModelResponse):
            self._tell(messages[:-1])
        elif self._is_asking and self._interruption.is_requested:
            # pydantic-ai makes a complete response of what a step gives.
            self._tell_rest([*messages[:-1], replace(last, state="interrupted")])
        else:
            self._tell(messages)

    def _tell_rest(self, messages: list[ModelMessage], *, because: str = "") -> None:
        """Add what is new of all messages of the turn, no tool call left open."""
        if not self._has_all:
            self._has_all = True
            told = closed(messages, because=because, unmade=self._unmade)
            self._tell(told)
            self._tell_unheard(told)

    def _tell_unheard(self, told: Sequence[ModelMessage]) -> None:
        """Add what users have said that no request told the model, for the next turn."""
        pending = [] if self._run is None else self._run.pending_messages
        unheard = [self._enqueued[m.enqueue_id] for m in pending if m.enqueue_id in self._enqueued]
        if not told:
            unheard.insert(0, self._prompt)
        for prompt in unheard:
            request = ModelRequest(parts=[UserPromptPart(prompt)])
            self._log.add("message", self.number, message=request)

    def _tell(self, messages: list[ModelMessage]) -> None:
        for message in messages[self._known :]:
            self._known += 1
            self._log.add("message", self.number, message=message)
            if isinstance(message, ModelResponse):
                self._count(message)

    def _count(self, response: ModelResponse) -> None:
        used = reported_tokens(response)
        if used is not None and used.input:
            self.context_tokens = used.input + used.output
        self.model = response.model_name or ""
        self.usage += usage_of(response)

    def _asked(self, title: str, question: Question, unmade: Sequence[str]) -> None:
        self._unmade.update(unmade)
        self._log.add("asked", self.number, text=title, question=question)

    def _answered(self, reason: str, question: Question) -> None:
        self._unmade.difference_update(question.calls)
        self._log.add("answered", self.number, text=reason, question=question)

    # ------------------------------------------------------------------------------ its end
    async def _failed(self, error: Exception) -> KeptError:
        return await self._ended("failed", error)

    async def _ended(self, outcome: Outcome, error: Exception) -> KeptError:
        self._tell_rest([])  # it may have ended before the agent began
        text = "" if outcome == "interrupted" else f"{type(error).__name__}: {error}"
        self._end(outcome, text)
        kept = KeptError(error)
        for answer in self._joined:
            answer.set_exception(kept)
        await self._let_others_end()
        return kept

    def _end(self, outcome: Outcome, text: str = "") -> None:
        self._run = None
        self._log.add(
            "ended",
            self.number,
            text=text,
            outcome=outcome,
            usage=self.usage,
            model=self.model,
        )

    async def _let_others_end(self) -> None:
        """Wait until those that have joined the turn have their answers: they are part of it."""
        for left in self._leaving:
            await left
