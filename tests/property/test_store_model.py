"""Any sequence of commits leaves the SQLite store as it leaves the model in memory."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import TypeVar

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from typing_extensions import override

from outlast._records import Record, detach, pack_records
from outlast._store.contract import RunFilter, Store
from outlast._store.memory.database import MemoryDatabase
from outlast._store.memory.store import MemoryStore
from outlast._store.rows import (
    Answer,
    Message,
    MessageKind,
    RunRow,
    StreamRow,
    TokenRow,
)
from outlast._store.sqlite.store import SqliteStore
from outlast._store.transactions import (
    CommitId,
    CommitResult,
    Effects,
    Segment,
    StartRun,
    Transaction,
)
from outlast._world import RealWorld
from outlast.types import CLOSED_STATUSES, Lease, Reuse, RunId, Status

T = TypeVar("T")

RUNS = [RunId(name) for name in ("a", "b", "c", "d")]
STATUSES: list[Status] = ["running", "waiting", "completed", "failed", "cancelled"]
REUSES: list[Reuse] = ["always", "if_failed", "never"]
KINDS: list[MessageKind] = ["signal", "cancel"]

runs = st.sampled_from(RUNS)
bodies = st.sampled_from([b"", b"\x00small", b"\x00" + b"large" * 8_000])
names = st.sampled_from(["x", "y"])


async def _commit(
    store: Store, commit_id: CommitId, batch: list[Transaction]
) -> list[CommitResult]:
    return await store.commit(commit_id, batch)


class StoreMachine(RuleBasedStateMachine):
    """Rules collect transactions; `commit` gives the same batch to both stores."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        self._do(self._open())
        self.number = 0
        self.created = 0
        self.batch: list[Transaction] = []
        self.leases: list[Lease] = []
        self.acquire()

    def _do(self, work: Coroutine[object, object, T]) -> T:
        return self.runner.run(work)

    async def _open(self) -> None:
        world = RealWorld()
        self.database = MemoryDatabase(clock=lambda: 0, shards_count=1)
        self.model = MemoryStore(self.database, world)
        self.real = await self._open_real()

    async def _open_real(self) -> SqliteStore:
        path = Path(self.directory.name) / "outlast.db"
        return await SqliteStore.open(path, world=RealWorld())

    # ------------------------------------------------------------------ transactions
    def _under_lease(self, run: RunId) -> Transaction:
        transaction = Transaction(self.leases[-1], run, [])
        self.batch.append(transaction)
        return transaction

    def _is_known(self, run: RunId) -> bool:
        return run in self.database.rows

    def _ends(self, run: RunId) -> bool:
        """Say whether the batch has the end of a run: nothing of it asks after that."""
        return any(
            t.run == run and summary is not None and summary.status in CLOSED_STATUSES
            for t, summary in ((t, t.also.summary) for t in self.batch)
        )

    def _loose(self, run: RunId) -> list[Record]:
        """Return what the log's tail has of a run."""
        row = self.database.rows[run]
        return [
            record
            for position, owner, record in self.database.log
            if owner == run and position >= row.started_position and record.seq > row.packed_seq
        ]

    @rule(run=runs, reuse=st.sampled_from(REUSES), body=bodies, resident=st.booleans())
    def start(self, run: RunId, reuse: Reuse, body: bytes, resident: bool) -> None:
        self.created += 1
        stored, blob = detach(body)
        row = RunRow(
            id=run,
            shard=0,
            workflow="m.f",
            version="1",
            status="pending",
            created_at=self.created,
            wake_at=None if resident else self.created % 5,
            resident=resident,
        )
        first = Record(1, "run_started", "", "f", 1, 1, 0, "", stored)
        self.batch.append(
            Transaction(
                None,
                run,
                [],
                Effects(
                    starts=(StartRun(row, (first,), reuse),), blobs=() if blob is None else (blob,)
                ),
            )
        )

    @rule(run=runs, count=st.integers(0, 5), body=bodies, is_stale=st.booleans())
    def append(self, run: RunId, count: int, body: bytes, is_stale: bool) -> None:
        # Records of a run have no gaps, and what is on its way has not got its numbers yet.
        is_waiting = any(t.run == run and (t.records or t.also.starts) for t in self.batch)
        if not self._is_known(run) or is_waiting:
            return
        transaction = self._under_lease(run)
        if is_stale:
            transaction.lease = self.leases[0]
        stored, blob = detach(body)
        last = max((r.seq for r in self._loose(run)), default=self.database.rows[run].packed_seq)
        for seq in range(last + 1, last + count + 1):
            transaction.records.append(Record(seq, "step_done", "k", "n", 1, 1, 0, "p", stored))
        transaction.also.blobs = () if blob is None else (blob,)

    @rule(run=runs, status=st.sampled_from(STATUSES), wake_at=st.none() | st.integers(0, 5))
    def summarise(self, run: RunId, status: Status, wake_at: int | None) -> None:
        if not self._is_known(run):
            return
        row = self.database.rows[run]
        self._under_lease(run).also.summary = msgspec.structs.replace(
            row,
            status=status,
            wake_at=wake_at,
            resident=wake_at is None,
            closed_at=row.created_at + 3 if status in CLOSED_STATUSES else None,
            output=b"out",
        )

    @rule(run=runs, keep=st.integers(0, 3))
    def pack(self, run: RunId, keep: int) -> None:
        if not self._is_known(run) or self.batch:
            return
        row = self.database.rows[run]
        loose = self._loose(run)
        packed = loose[: len(loose) - keep]
        if packed:
            transaction = self._under_lease(run)
            body = pack_records(packed)
            transaction.also.segments = (Segment(run, packed[0].seq, packed[-1].seq, body),)
            transaction.also.summary = msgspec.structs.replace(row, packed_seq=packed[-1].seq)

    @rule(
        posts=st.lists(
            st.tuples(runs, st.sampled_from(KINDS), names, st.sampled_from(["", "k", "l"])),
            max_size=4,
        )
    )
    def post(self, posts: list[tuple[RunId, MessageKind, str, str]]) -> None:
        messages = [
            Message(run=run, kind=kind, name=name, dedup=dedup, body=b"m")
            for run, kind, name, dedup in posts
        ]
        self.batch.append(Transaction(None, RUNS[0], [], Effects(posts=tuple(messages))))

    @rule(run=runs, token=names, expires_at=st.none() | st.integers(0, 3))
    def _ask(self, run: RunId, token: str, expires_at: int | None) -> None:
        if self._is_known(run) and not self._ends(run):
            row = TokenRow(
                id=f"{run}/{token}",
                run=run,
                workflow="m.f",
                key=token,
                kind="token",
                created_at=self.created,
                expires_at=expires_at,
            )
            self._under_lease(run).also.tokens = (row,)

    @rule(answers=st.lists(st.tuples(runs, names, names, st.integers(0, 4)), max_size=3))
    def _answer(self, answers: list[tuple[RunId, str, str, int]]) -> None:
        given = [
            Answer(
                token=f"{run}/{token}",
                status="answered" if by == "x" else "expired",
                message=Message(run=run, kind="token", name=token, body=by.encode()),
                value=b"v",
                by=by,
                at=at,
            )
            for run, token, by, at in answers
        ]
        self.batch.append(Transaction(None, RUNS[0], [], Effects(answers=tuple(given))))

    @rule(run=runs, which=st.sets(st.integers(0, 4)))
    def consume(self, run: RunId, which: set[int]) -> None:
        numbers = [message.number for message in self.database.mail_of(run, 10)]
        chosen = [number for n, number in enumerate(numbers) if n in which]
        if self._is_known(run):
            self._under_lease(run).also.consumed = tuple(chosen)

    @rule(run=runs, name=names, body=bodies)
    def set_value(self, run: RunId, name: str, body: bytes) -> None:
        if self._is_known(run):
            self._under_lease(run).also.values = ((name, body), (name, body + b"!"))

    @rule(run=runs, name=names, count=st.integers(1, 3))
    def write_stream(self, run: RunId, name: str, count: int) -> None:
        if not self._is_known(run) or self.batch:
            return
        rows = [row for row in self.database.streams(run) if row.name == name]
        offset = rows[-1].offset + rows[-1].count if rows else 0
        row = StreamRow(run=run, name=name, offset=offset, count=count, kind="data", writer="w")
        self._under_lease(run).also.streams = (row,)

    # -------------------------------------------------------------------------- verbs
    # Twice, so that batches are short; a long one hides what the first of it did.
    @rule()
    def commit_early(self) -> None:
        self.commit()

    @rule()
    def commit(self) -> None:
        self.number += 1
        commit_id = CommitId("me", self.number)
        expected = self._do(_commit(self.model, commit_id, self.batch))
        assert self._do(_commit(self.real, commit_id, self.batch)) == expected
        assert self._do(self.real.outcome_of(commit_id)) == expected
        self.batch = []

    @rule()
    def acquire(self) -> None:
        expected = self._do(self.model.acquire_leases("me", [0]))
        assert self._do(self.real.acquire_leases("me", [0])) == expected
        self.leases += expected

    @rule(closed_before=st.integers(0, 40))
    def prune(self, closed_before: int) -> None:
        # What is on its way to a run may not outlive it: a closed run's owner sends nothing.
        if not self.batch:
            expected = self._do(self.model.prune(closed_before, 100))
            assert self._do(self.real.prune(closed_before, 100)) == expected

    @rule(limit=st.integers(1, 10))
    def truncate(self, limit: int) -> None:
        expected = self._do(self.model.truncate_log(limit))
        assert self._do(self.real.truncate_log(limit)) == expected

    @rule()
    def reopen(self) -> None:
        self._do(self.real.close())
        self.real = self._do(self._open_real())
        self.acquire()

    @invariant()
    def both_read_the_same(self) -> None:
        if not self.batch:
            self._do(self._compare())

    async def _compare(self) -> None:
        model, real = self.model, self.real
        assert await real.list_runs(RunFilter(), None, 10) == await model.list_runs(
            RunFilter(), None, 10
        )
        for which in (RunFilter(), RunFilter(statuses=frozenset(["failed"]), id_prefix="b")):
            assert await real.count_runs(which, 3) == await model.count_runs(which, 3)
        for run in RUNS:
            assert await real.read_run(run) == await model.read_run(run)
            assert await real.read_journal(run, 1) == await model.read_journal(run, 1)
            assert await real.read_mailbox(run, 9) == await model.read_mailbox(run, 9)
            for name in ("x", "y"):
                assert await real.read_value(run, name) == await model.read_value(run, name)
                assert await real.read_stream(run, name, 2, 2) == await model.read_stream(
                    run, name, 2, 2
                )
                assert await real.read_retractions(run, name, 1) == await model.read_retractions(
                    run, name, 1
                )
            tokens = await model.list_tokens(None, 10, run=run)
            assert await real.list_tokens(None, 10, run=run) == tokens
            for token in tokens:
                assert await real.read_token(token.id) == token
        assert await real.list_tokens(None, 10, open_only=True) == await model.list_tokens(
            None, 10, open_only=True
        )
        assert await real.read_tail([0]) == await model.read_tail([0])
        assert ids(await real.resident_runs([0])) == ids(await model.resident_runs([0]))
        assert ids(await real.due_runs([0], 3, 9)) == ids(await model.due_runs([0], 3, 9))
        assert await real.next_wake([0]) == await model.next_wake([0])
        assert await real.next_wake([0], 2) == await model.next_wake([0], 2)
        assert set(await real.runs_with_mail([0], 9)) == set(await model.runs_with_mail([0], 9))
        assert await real.log_size() == await model.log_size()
        assert real.renew_leases(self.leases) == model.renew_leases(self.leases)

    @override
    def teardown(self) -> None:
        self._do(self.real.close())
        self.runner.close()
        self.directory.cleanup()


def ids(rows: Iterable[RunRow]) -> set[RunId]:
    return {row.id for row in rows}


StoreMachine.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestSqliteAgreesWithTheModel = StoreMachine.TestCase
