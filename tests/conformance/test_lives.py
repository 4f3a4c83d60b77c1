"""What is meant for one life of a run is not written to another: started anew, under its id."""

from __future__ import annotations

import msgspec
import pytest

from outlast._records import Record
from outlast._store.contract import Store
from outlast._store.decisions import life_of
from outlast._store.rows import RunRow
from outlast._store.transactions import Receipt, Transaction
from tests.conformance.driving import RUN, Driver, record, segment, the


async def late(store: Store, engine: Driver) -> Transaction:
    """Return what is to be written of a run that has ended."""
    await engine.receipt(engine.starting(msgspec.structs.replace(engine.row(RUN), request="one")))
    await engine.close_run(RUN)
    row = await engine.current(RUN)
    appended = record(2, kind="step_late")
    made = engine.on(RUN, appended)
    made.also.summary = msgspec.structs.replace(row, last_seq=2, packed_seq=2)
    made.also.segments = (segment(RUN, [appended]),)
    made.also.of_life = life_of(row)
    return made


def anew(engine: Driver) -> tuple[RunRow, Transaction]:
    row = msgspec.structs.replace(engine.row(RUN, created_at=5_000), request="two")
    return row, engine.starting(row, reuse="always")


async def test_it_is_written_while_the_life_lasts(store: Store, engine: Driver) -> None:
    receipt = await engine.receipt(await late(store, engine))

    assert receipt.position
    assert (await engine.current(RUN)).last_seq == 2


@pytest.mark.parametrize("at_once", [True, False])
async def test_nothing_is_written_to_a_run_that_was_started_anew(
    store: Store, engine: Driver, at_once: bool
) -> None:
    made = await late(store, engine)
    row, start = anew(engine)
    if at_once:
        _, result = await engine.commit(start, made)
    else:
        await engine.receipt(start)
        result = the(await engine.commit(made))

    assert result == Receipt()
    found = await engine.current(RUN)
    assert (found.request, found.last_seq, found.status) == ("two", row.last_seq, "running")
    journal: list[Record] = await store.read_journal(RUN)
    assert [one.kind for one in journal] == ["run_started"]
