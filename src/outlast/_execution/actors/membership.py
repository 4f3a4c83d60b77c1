"""What ties an actor to others: its place in a team, who watches it, its reminders.

All of it is kept as values of the actor, changed in the transaction of whatever changes it.

Invariants:
  * an actor that is down handles nothing until its supervisor lets it go on;
  * its supervisor and those who watch it are told in the commit that makes it so;
  * a reminder's next message is sent in the commit that ends the one before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from outlast import limits
from outlast._codec import adapter_for
from outlast._execution.calls.operations import ChildBody, decode_body, failure_in
from outlast._messages.letters import Letter, encode_letter
from outlast._messages.system_messages import Assignment, Watch
from outlast._store.rows import JOIN, Message
from outlast._store.transactions import Receipt, Transaction
from outlast.types import RunId, Stopped

PLACE = "\x00place"  # value: the place in a team
WATCHED = "\x00watched/"  # values: who is told when this actor stops
WATCHING = "\x00watching/"  # values: whom this actor asked for that, until it is known to be taken
REMINDER = "\x00reminder/"  # values: reminders by name
MEMBER = "\x00member/"  # begins the parent key of a workflow that is a member of a team
_stopped = adapter_for(Stopped)
_encode = msgspec.msgpack.Encoder().encode


class Reminder(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message that an actor sends itself again and again; `every` is microseconds."""

    handler: str
    args: bytes
    every: int
    token: str


_places = msgspec.msgpack.Decoder(Assignment)
_watches = msgspec.msgpack.Decoder(Watch)
_reminders = msgspec.msgpack.Decoder(Reminder)


def notice(
    run: str, handler: str, arguments: Mapping[str, object], *, sender: str, at: int
) -> Message:
    """Return a message by which the engine itself tells an actor something."""
    letter = Letter(args=_encode(arguments), sender=sender)
    body = encode_letter(letter)
    return Message(run=RunId(run), kind="notice", name=handler, body=body, at=at)


def decode_place(data: bytes) -> Assignment:
    """Return a place from the value that it is kept as."""
    return _places.decode(data)


def write_value(transaction: Transaction, name: str, value: msgspec.Struct | None) -> None:
    """Keep a value of an actor, or forget it, with a transaction."""
    data = None if value is None else _encode(value)
    transaction.also.values += ((name, data),)


@dataclass(slots=True)
class Membership:
    """What ties one actor to others, as it is kept in memory."""

    place: Assignment | None = None
    watched: dict[str, Watch] = field(default_factory=dict[str, Watch])
    watching: dict[str, Watch] = field(default_factory=dict[str, Watch])
    reminders: dict[str, Reminder] = field(default_factory=dict[str, Reminder])
    taken: list[str] = field(default_factory=list[str])  # watched by now, not yet written down

    @classmethod
    def read(cls, values: dict[str, bytes]) -> Membership:
        """Return it from the values that the store has."""
        bonds = cls()
        for name, data in values.items():
            if name == PLACE:
                bonds.place = _places.decode(data)
            elif name.startswith(WATCHED):
                bonds.watched[name[len(WATCHED) :]] = _watches.decode(data)
            elif name.startswith(WATCHING):
                bonds.watching[name[len(WATCHING) :]] = _watches.decode(data)
            elif name.startswith(REMINDER):
                bonds.reminders[name[len(REMINDER) :]] = _reminders.decode(data)
        return bonds

    # -------------------------------------------------------------------------- teams
    @property
    def is_down(self) -> bool:
        """Whether the actor waits for its supervisor."""
        return self.place is not None and bool(self.place.down)

    @property
    def is_kept(self) -> bool:
        """Whether its supervisor starts it again although it was stopped."""
        return self.place is not None and self.place.restart == "always"

    @property
    def is_dismissed(self) -> bool:
        """Whether it has failed and is not started again."""
        place = self.place
        return place is not None and place.down == "failed" and place.restart == "never"

    def reason_to_stop(self, wanted: str | None) -> str | None:
        """Return why the actor stops for good after a message; `wanted` is what its handler said.

        If it is kept it only falls, and is started again.
        """
        if self.place is not None and self.is_dismissed:
            return self.place.why
        return None if self.is_kept else wanted

    def take_place(self, transaction: Transaction, place: Assignment | None) -> None:
        """Give the actor a place, another state in it, or none."""
        self.place = place
        write_value(transaction, PLACE, place)

    def fall(
        self,
        transaction: Transaction,
        why: str,
        at: int,
        *,
        is_again: bool = False,
        kills: bool = False,
    ) -> None:
        """The actor has failed: it is down from here on, and its supervisor is told.

        `is_again`: at a message at which it had failed before, which counts once. `kills`: its
        start has killed the process again and again.
        """
        place = self.place
        if place is None or place.down:
            return
        self.take_place(transaction, msgspec.structs.replace(place, down="failed", why=why))
        told = notice(
            place.supervisor,
            "failed",
            {
                "member": place.member,
                "life": place.life,
                "error": why,
                **({"again": True} if is_again else {}),
                **({"kills": True} if kills else {}),
            },
            sender=transaction.run,
            at=at,
        )
        transaction.also.posts += (told,)

    def ask_to_resume(self, transaction: Transaction, at: int) -> None:
        """Somebody wants a parked actor to go on: that is its supervisor's to do."""
        place = self.place
        if place is not None and place.down == "parked":
            sender = transaction.run
            member = {"member": place.member}
            told = notice(place.supervisor, "resume", member, sender=sender, at=at)
            transaction.also.posts += (told,)

    def close(self, transaction: Transaction, reason: str, at: int, *, has_failed: bool) -> None:
        """The actor stops for good: tell its supervisor, and who watches it."""
        actor = transaction.run
        # It is reminded no more: neither of what was set before nor with this commit.
        posts = [m for m in transaction.also.posts if m.run != actor or m.kind != "notice"]
        for name in list(self.reminders):
            self._set_reminder(transaction, name, None)
        place = self.place
        if place is not None:
            error = reason if has_failed else ""
            ended = {"member": place.member, "life": place.life, "error": error}
            posts.append(notice(place.supervisor, "ended", ended, sender=actor, at=at))
            self.take_place(transaction, None)
        for watcher, watch in self.watched.items():
            posts.append(goodbye(watcher, watch, actor, reason, at))
            write_value(transaction, WATCHED + watcher, None)
        self.watched.clear()
        transaction.also.posts = tuple(posts)

    # ----------------------------------------------------------------------- watching
    def note_watched(self, transaction: Transaction, watcher: str, watch: Watch | None) -> None:
        """Somebody wants to be told when the actor stops, or no longer."""
        if watch is None:
            self.watched.pop(watcher, None)
        else:
            self.watched[watcher] = watch
        write_value(transaction, WATCHED + watcher, watch)

    def note_taken(self, transaction: Transaction, receipt: Receipt) -> None:
        """A transaction is durable: those who got their orders in it are watched from here on."""
        if self.watching:
            for message, result in zip(transaction.also.posts, receipt.posts, strict=True):
                is_taken = message.name == JOIN and result == "accepted"
                if is_taken and self.watching.pop(message.run, None) is not None:
                    self.taken.append(message.run)

    def write_down(self, transaction: Transaction) -> None:
        """Forget, with a transaction that is written anyway, what is settled."""
        for target in self.taken:
            write_value(transaction, WATCHING + target, None)
        self.taken.clear()

    def tie(
        self,
        transaction: Transaction,
        watches: Mapping[str, Watch],
        reminders: Mapping[str, Reminder | None],
        at: int,
    ) -> list[Message]:
        """Keep what a handler that ended well wanted; return the reminders that are sent for it."""
        actor = transaction.run
        sent: list[Message] = []
        for target, watch in watches.items():
            self.watching[target] = watch
            write_value(transaction, WATCHING + target, watch)
        for name, reminder in reminders.items():
            known = self.reminders.get(name)
            if reminder is None or known is None or not is_same(reminder, known):
                self._set_reminder(transaction, name, reminder)
                if reminder is not None:
                    due = at + reminder.every
                    sent.append(reminder_message(actor, name, reminder, due=due, at=at))
        return sent

    # ---------------------------------------------------------------------- reminders
    def _set_reminder(self, transaction: Transaction, name: str, reminder: Reminder | None) -> None:
        """Keep a reminder, or forget it."""
        if reminder is None:
            self.reminders.pop(name, None)
        else:
            self.reminders[name] = reminder
        write_value(transaction, REMINDER + name, reminder)

    def is_stale(self, letter: Letter) -> bool:
        """Whether a letter is of a reminder that was changed since, or of a start that is over."""
        if letter.reminder:
            known = self.reminders.get(letter.reminder)
            return known is None or known.token != letter.token
        return bool(letter.token) and (self.place is None or letter.token != f"{self.place.life}")

    def remind_again(self, transaction: Transaction, letter: Letter, at: int) -> None:
        """Send a reminder's next message: what came due while no engine ran comes due once."""
        reminder = self.reminders.get(letter.reminder)
        if not letter.reminder or reminder is None or reminder.token != letter.token:
            return
        due = letter.due_at + reminder.every
        if due <= at:
            due = at + reminder.every - (at - letter.due_at) % reminder.every
        following = reminder_message(transaction.run, letter.reminder, reminder, due=due, at=at)
        transaction.also.posts += (following,)


def goodbye(watcher: str, watch: Watch, actor: str, reason: str, at: int) -> Message:
    """Return what tells a watcher that an actor has stopped, once for each watch."""
    event = msgspec.Raw(_stopped.encode(Stopped(actor, reason)))
    told = notice(watcher, watch.handler, {watch.parameter: event}, sender=actor, at=at)
    return msgspec.structs.replace(told, dedup=f"\x00{watch.token}/{actor}")


def reminder_message(actor: str, name: str, reminder: Reminder, *, due: int, at: int) -> Message:
    """Return one message of a reminder."""
    letter = Letter(
        args=reminder.args,
        sender=actor,
        due_at=due,
        every=reminder.every,
        reminder=name,
        token=reminder.token,
    )
    body = encode_letter(letter)
    return Message(run=RunId(actor), kind="notice", name=reminder.handler, body=body, at=at)


def member_key(member: str, life: int) -> str:
    """Return the parent key of a workflow that is a member of a team."""
    return f"{MEMBER}{life}/{member}"


def member_ended(message: Message) -> Message:
    """Return the end of a workflow that is a member of a team as its supervisor hears of it."""
    life, _, member = message.name[len(MEMBER) :].partition("/")
    body = decode_body(message.body, ChildBody)
    failure = failure_in(body.outcome)
    error = body.reason or body.status
    if failure is not None:
        error = f"{failure.qualname}: {failure.message}"[: limits.ERROR_CHARS_MAX]
    has_completed = body.status == "completed"
    told = notice(
        message.run,
        "ended" if has_completed else "failed",
        {"member": member, "life": int(life), "error": "" if has_completed else error},
        sender="",
        at=message.at,
    )
    return msgspec.structs.replace(told, number=message.number)


def is_same(reminder: Reminder, known: Reminder) -> bool:
    """Say whether setting a reminder changes nothing, so that it keeps its rhythm."""
    return msgspec.structs.replace(reminder, token=known.token) == known
