"""What the code of one run asks for beside steps: each kind of call is made with its first use.

Most runs use few kinds, and a run that waits holds nothing for the others. Who only looks asks for
what is made already (`made_…`), and finds None where the code has never used a kind.
"""

from __future__ import annotations

from outlast._execution.calls.cancellation import Cancellation
from outlast._execution.calls.children import ChildCalls, Lineage
from outlast._execution.calls.host import RunHost
from outlast._execution.calls.inbox import Inbox
from outlast._execution.calls.steps import StepCalls
from outlast._execution.calls.tokens import TokenCalls
from outlast._execution.journal.given_keys import GivenKeys
from outlast._execution.journal.view import RunJournal
from outlast._execution.loop.conditions import Conditions
from outlast._execution.loop.event_loop import RunLoop
from outlast._execution.loop.executing import message_in
from outlast._records import Record
from outlast._store.rows import RunRow
from outlast._store.transactions import Transaction


class RunCalls:
    """The calls of one run; `deliver` hands each its records."""

    __slots__ = (
        "_host",
        "_journal",
        "_loop",
        "_salt",
        "_series",
        "_workflow",
        "cancellation",
        "lineage",
        "made_children",
        "made_conditions",
        "made_inbox",
        "made_keys",
        "made_tokens",
        "steps",
        "uses_clock",
    )

    def __init__(
        self, host: RunHost, journal: RunJournal, loop: RunLoop, row: RunRow, salt: int
    ) -> None:
        self._host = host
        self._journal = journal
        self._loop = loop
        self._salt = salt
        self._workflow = row.workflow
        self.lineage: Lineage = Lineage(row.attributes, row.request)
        self._series = 0
        # It may wait for what the clock makes due: a timer, a retry, a token, its timeout.
        self.uses_clock: bool = row.timeout_at is not None
        self.steps: StepCalls = StepCalls(host, journal, loop)
        self.cancellation: Cancellation = Cancellation(loop)
        self.made_children: ChildCalls | None = None
        self.made_conditions: Conditions | None = None
        self.made_inbox: Inbox | None = None
        self.made_keys: GivenKeys | None = None
        self.made_tokens: TokenCalls | None = None

    @property
    def children(self) -> ChildCalls:
        """Its child runs."""
        if self.made_children is None:
            self.made_children = ChildCalls(self._host, self._journal, self._loop, self.lineage)
        return self.made_children

    @property
    def conditions(self) -> Conditions:
        """What its code waits to come true."""
        if self.made_conditions is None:
            self.made_conditions = Conditions(self._loop)
        return self.made_conditions

    @property
    def inbox(self) -> Inbox:
        """Its signals."""
        if self.made_inbox is None:
            self.made_inbox = Inbox(self._loop)
        return self.made_inbox

    def take_key(self, key: str, name: str) -> str:
        """Return what an operation is stored under to which the code gives this key.

        Raises:
            UsageError: it is no key, or the run, or the message of an actor, has used it.
        """
        return self._keys.take(key, name, message=message_in(self._loop))

    def next_number(self, what: str) -> int:
        """Return how often the code has asked for the number of this (`GivenKeys`)."""
        return self._keys.next_number(what)

    @property
    def _keys(self) -> GivenKeys:
        if self.made_keys is None:
            self.made_keys = GivenKeys()
        return self.made_keys

    @property
    def tokens(self) -> TokenCalls:
        """What it asks people, and other systems."""
        if self.made_tokens is None:
            self.made_tokens = TokenCalls(
                self._host,
                self._journal,
                self._loop,
                salt=self._salt,
                workflow=self._workflow,
                take_key=self.take_key,
            )
            self.made_tokens.series = self._series
            self.uses_clock = True
        return self.made_tokens

    def count_tokens_from(self, series: int) -> None:
        """An actor's message begins: its tokens are of another series (`TokenCalls.series`)."""
        self._series = series
        if self.made_tokens is not None:
            self.made_tokens.series = series

    def begin_anew(self, transaction: Transaction) -> dict[str, None]:
        """Forget what an actor's message has left behind, and withdraw its tokens: it is over.

        Returns the names of the values in which its steps have left heartbeats.
        """
        self._loop.timers.clear()
        self.made_keys = None
        if self.steps.pending:
            self.steps.forget_cancelled(all_of_them=True)
        if self.made_children is not None:
            self.made_children.begin_anew()
        self.cancellation.begin_anew()
        if self.made_tokens is not None and self.made_tokens.by_key:
            transaction.also.withdrawn += (*self.made_tokens.take_open(),)
        return self.steps.heartbeats

    def deliver(self, record: Record) -> None:
        """Hand over one record; those that only note a request have no receiver."""
        match record.kind:
            case "step_done":
                self.steps.deliver_done(record)
            case "attempt_failed":
                self.uses_clock = True
                self.steps.deliver_attempt(record)
            case "step_intent":
                self.steps.deliver_intent(record)
            case "timer_fired":
                self._loop.fire_timer(record.key)
            case "signal":
                self.inbox.deliver(record)
            case "child_started" | "child_done":
                self.children.deliver(record)
            case "token_answered":
                self.tokens.deliver_answer(record)
            case "cancel_requested":
                self.uses_clock = True
                reason = self.cancellation.deliver_request(record)
                if self.made_children is not None:
                    self.made_children.cancel_attached(reason)
            case "stream_written" | "stream_retracted":
                self.steps.deliver_written(record)
            case "chance_renewed":
                self._loop.chance_seed = seed = record.body[1:]
                self._loop.chance_renewed = seed.hex()
            case "resumed":
                self.steps.unpark()
            case _:
                pass
