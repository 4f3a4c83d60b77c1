"""Looking at actors: who there is, what waits for them, and dead letters."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from outlast import limits
from outlast._codec import shown_json, stored_json
from outlast._engine.reading.declared import DeclaredTypes
from outlast._engine.reading.queries import parse_query
from outlast._engine.reading.reader import in_time
from outlast._engine.reading.records import moment, payload_json
from outlast._execution.actors.membership import PLACE, decode_place
from outlast._messages.actor_ids import actor_id, key_in
from outlast._messages.letters import decode_letter
from outlast._registry import ActorDefinition, Registry
from outlast._store.contract import Cursor, RunFilter, Store
from outlast._store.pages import is_last
from outlast._store.rows import DeadLetter, RunRow
from outlast._wording.names import check_text
from outlast.errors import ActorNotFound, DecodingError, StoreDamaged
from outlast.types import ActorInfo, DeadLetterInfo, RunId


class ActorReader:
    """What a store has of actors."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store.lookups
        self._registry = registry

    async def actors(self, type_name: str | None) -> AsyncIterator[ActorInfo]:
        """Iterate over the actors (of one type), newest first."""
        if type_name is not None:
            check_text("an actor's type", type_name)
        which = RunFilter(workflow=type_name, kind="actor")
        after: Cursor | None = None
        while True:
            rows = await self._store.list_runs(which, after, limits.PAGE_ROWS)
            for row in rows:
                yield await self._any_info(row, self.state_json(row.workflow, row.output or b""))
            if is_last(rows, limits.PAGE_ROWS):
                return
            after = Cursor(rows[-1].created_at, rows[-1].id)

    async def page(
        self, query: str, type_name: str | None, after: Cursor | None, size: int, *, now: int
    ) -> list[tuple[ActorInfo, RunRow]]:
        """Return up to `size` actors that a query wants from behind a cursor on, newest first.

        The row of each is beside it, with its state encoded: `state_json` makes JSON of it.

        Raises:
            QueryError: the query does not parse, or has more looked at than can be in time.
        """
        which = replace(parse_query(query, now), kind="actor")
        if type_name is not None:
            which = replace(which, workflow=type_name)
        with in_time(query):
            rows = await self._store.list_runs(which, after, size)
        return [(await self._any_info(row, None), row) for row in rows]

    async def dead_page(
        self, actor: str | None, after: int, size: int
    ) -> tuple[list[DeadLetter], int | None]:
        """Return up to `size` dead letters numbered above `after`, and behind which to go on."""
        run = None if actor is None else RunId(actor)
        letters = await self._store.read_dead(run, after, size)
        following = None if is_last(letters, size) else letters[-1].number
        return letters, following

    def message_json(self, letter: DeadLetter) -> object:
        """Return what a dead letter brought as JSON data: arguments by name, or a value."""
        if letter.kind in ("signal", "update"):
            types = DeclaredTypes(self._registry)
            return shown_json(lambda: payload_json(letter.body, types, letter.name))
        if letter.kind not in ("tell", "ask"):
            return None
        args = decode_letter(letter.body).args
        known = self._registry.actors.get(letter.run.partition("/")[0])
        handler = None if known is None else known.handlers.get(letter.name)
        if handler is not None:
            try:
                return shown_json(lambda: handler.signature.to_json(args))
            except Exception:  # noqa: BLE001 - a user's class may raise anything
                pass  # sent by an older version of the code: it can still be shown
        return shown_json(lambda: stored_json(args))

    async def actor(self, type_name: str, key: str) -> ActorInfo:
        """Return what is known of one actor.

        Raises:
            ActorNotFound: it has not received a message yet.
        """
        row = await self._row(type_name, key)
        return await self._info(row, self.state_json(row.workflow, row.output or b""))

    async def stored_actor(self, type_name: str, key: str) -> tuple[ActorInfo, bytes]:
        """Return the same with the state beside it, as `page`.

        Raises:
            ActorNotFound: it has not received a message yet.
        """
        row = await self._row(type_name, key)
        return await self._info(row, None), row.output or b""

    def state_json(self, type_name: str, state: bytes) -> object:
        """Return an actor's encoded state as JSON data."""
        known = self._registry.actors.get(type_name)
        return shown_json(lambda: _readable(known, state or None))

    async def _row(self, type_name: str, key: str) -> RunRow:
        check_text("an actor's type", type_name)
        row = await self._store.read_run(actor_id(type_name, check_text("an actor's key", key)))
        if row is None:
            # Perhaps the end of a type's name was given, as in listings.
            which = RunFilter(workflow=type_name, kind="actor")
            rows = await self._store.list_runs(which, None, limits.PAGE_ROWS)
            row = next((r for r in rows if key_in(r.id, r.workflow) == key), None)
        if row is None:
            raise ActorNotFound(actor_id(type_name, key))
        return row

    async def _any_info(self, row: RunRow, state: object) -> ActorInfo:
        """The same for a listing: a damaged actor is shown as such."""
        try:
            return await self._info(row, state)
        except StoreDamaged as error:
            return ActorInfo(
                id=row.id,
                type=row.workflow,
                key=key_in(row.id, row.workflow),
                status=row.status,
                created_at=moment(row.created_at),
                waiting=0,
                oldest_at=None,
                state=None,
                error=f"damaged: {error}",
                supervisor=None,
                restarts=0,
            )

    async def _info(self, row: RunRow, state: object) -> ActorInfo:
        waiting, oldest_at = await self._store.count_mail(row.id, limits.MAILBOX_READ_MAX)
        data = await self._store.read_value(row.id, PLACE)
        place = None if data is None else decode_place(data)
        is_parked = place is not None and place.down == "parked"
        why = row.waiting_for if row.status == "parked" else row.error
        return ActorInfo(
            id=row.id,
            type=row.workflow,
            key=key_in(row.id, row.workflow),
            status="parked" if is_parked else row.status,
            created_at=moment(row.created_at),
            waiting=waiting,
            oldest_at=moment(oldest_at),
            state=state,
            error=place.why if place is not None and place.down else why,
            supervisor=place.supervisor if place is not None else None,
            restarts=place.life - 1 if place is not None else 0,
        )

    async def dead_letters(self, actor: str | None) -> AsyncIterator[DeadLetterInfo]:
        """Iterate over dead letters, oldest first."""
        after = 0
        while True:
            run = None if actor is None else RunId(actor)
            letters = await self._store.read_dead(run, after, limits.PAGE_ROWS)
            for letter in letters:
                yield dead_letter_info(letter)
            if is_last(letters, limits.PAGE_ROWS):
                return
            after = letters[-1].number


def dead_letter_info(letter: DeadLetter) -> DeadLetterInfo:
    """Return a dead letter as users see it."""
    return DeadLetterInfo(
        number=letter.number,
        actor=letter.run,
        handler=letter.name,
        reason=letter.reason,
        error=letter.error,
        attempts=letter.attempts,
        sent_at=moment(letter.sent_at),
        at=moment(letter.at),
        kind=letter.kind,
    )


def _readable(definition: ActorDefinition | None, state: bytes | None) -> object:
    if state is None:
        return None
    if definition is not None:
        try:
            return definition.state.to_json(definition.state.decode(state))
        except DecodingError:
            pass  # stored under another type: the bytes can still be shown
    return stored_json(state)
