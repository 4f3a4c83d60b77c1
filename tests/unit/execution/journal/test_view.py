"""A run's own view of its journal: what it appends, what it packs, what it refuses on replay."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import pytest

from outlast import limits
from outlast._execution.journal.view import RunJournal
from outlast._records import (
    NO_PROGRESS,
    VALUE,
    Blob,
    Kind,
    Record,
    blob_digest,
    detach,
    unpack_records,
)
from outlast._store.transactions import Transaction
from outlast.errors import ReplayMismatch
from outlast.types import Lease
from tests.conformance.driving import RUN, new_row, record, records

LEASE = Lease(0, "worker-1", 3)
LARGE = VALUE + b"x" * limits.BLOB_BYTES_MIN


@dataclass
class Bench:
    """A journal, and what it has handed to the writer."""

    journal: RunJournal
    submitted: list[Transaction] = field(default_factory=list[Transaction])
    roused: list[int] = field(default_factory=list[int])  # the last `seq` at each time


def journal_of(*earlier: Record, packed_seq: int = 0) -> Bench:
    submitted: list[Transaction] = []
    roused: list[int] = []
    journal = RunJournal(
        RUN,
        lease=LEASE,
        records=list(earlier),
        row=msgspec.structs.replace(new_row(RUN), packed_seq=packed_seq),
        submit=submitted.append,
        rouse=lambda: roused.append(journal.last_seq),
    )
    return Bench(journal, submitted, roused)


# ---------------------------------------------------------------------------- appending
def test_a_record_has_the_next_number_and_the_epoch_of_the_lease() -> None:
    journal = journal_of(*records(1, 4)).journal

    one = journal.append("timer_fired", at=2_000, key="0:5")
    two = journal.append("run_closed", at=2_001)

    assert [(r.seq, r.epoch) for r in (one, two)] == [(5, 3), (6, 3)]
    assert journal.last_seq == 6


def test_a_run_without_records_in_memory_goes_on_behind_its_row() -> None:
    assert journal_of().journal.append("step_done", at=2_000).seq == 2


def test_logical_time_never_goes_back() -> None:
    journal = journal_of(record(1)).journal  # at 1,001

    times = [journal.append("timer_fired", at=at).at for at in (900, 1_500, 1_400)]

    assert times == [1_001, 1_500, 1_500]
    assert journal.last_at == 1_500


def test_what_is_appended_before_the_seal_is_one_transaction() -> None:
    bench = journal_of(record(1))
    first, second = (bench.journal.append("step_done", at=2_000) for _ in range(2))
    [transaction] = bench.submitted
    transaction.is_sealed = True

    third = bench.journal.append("step_done", at=2_000)

    assert [t.records for t in bench.submitted] == [[first, second], [third]]
    assert {(t.run, t.lease) for t in bench.submitted} == {(RUN, LEASE)}
    assert bench.journal.in_flight == 2


def test_only_its_own_transactions_come_back_and_each_once() -> None:
    bench = journal_of(record(1))
    bench.journal.append("step_done", at=2_000)
    [own] = bench.submitted

    assert not bench.journal.is_back(Transaction(LEASE, RUN, []))
    assert bench.journal.in_flight == 1
    assert bench.journal.is_back(own)
    assert not bench.journal.is_back(own)
    assert bench.journal.in_flight == 0


def test_nothing_is_added_to_a_transaction_that_has_come_back() -> None:
    bench = journal_of(record(1))
    bench.journal.append("step_done", at=2_000)
    bench.journal.is_back(bench.submitted[0])

    bench.journal.append("step_done", at=2_000)

    assert [len(t.records) for t in bench.submitted] == [1, 1]


def test_the_first_record_of_a_run_that_sleeps_rouses_it_in_its_own_transaction() -> None:
    bench = journal_of(record(1))
    bench.journal.append("step_done", at=2_000)
    assert bench.roused == []
    bench.journal.fall_asleep()

    bench.journal.append("signal", at=2_000)
    bench.journal.append("signal", at=2_000)

    assert bench.roused == [2]  # before the record had its number
    assert not bench.journal.is_asleep


def test_a_run_that_has_gone_is_not_roused() -> None:
    bench = journal_of(record(1))
    bench.journal.fall_asleep()
    bench.journal.let_go()

    bench.journal.append("signal", at=2_000)

    assert bench.roused == []


@pytest.mark.parametrize("kind", sorted(NO_PROGRESS))
def test_what_comes_without_the_code_is_no_progress(kind: Kind) -> None:
    journal = journal_of(record(1)).journal
    journal.append("step_done", at=2_000)

    journal.append(kind, at=2_000)

    assert (journal.progress_seq, journal.last_seq) == (2, 3)


def test_steps_and_the_end_are_taken_note_of() -> None:
    journal = journal_of(*records(1, 3)).journal
    assert (journal.steps, journal.has_closed) == (3, False)

    journal.append("step_done", at=2_000)
    journal.append("attempt_failed", at=2_000)
    journal.append("run_closed", at=2_000)

    assert (journal.steps, journal.has_closed) == (4, True)


# -------------------------------------------------------------------------------- blobs
def test_a_large_body_is_committed_as_a_blob_beside_its_record() -> None:
    bench = journal_of(record(1))

    appended = bench.journal.append("step_done", at=2_000, body=LARGE)

    [transaction] = bench.submitted
    [blob] = transaction.also.blobs
    assert blob.body == LARGE
    assert blob_digest(appended.body) == blob.digest
    assert list(bench.journal.blobs) == [blob.digest]


def test_what_was_folded_releases_its_blobs_and_leaves_nothing_to_pack() -> None:
    bench = journal_of(record(1))
    bench.journal.append("step_done", at=2_000, body=LARGE)

    bench.journal.fold()

    [transaction] = bench.submitted
    assert list(transaction.also.released) == [blob.digest for blob in transaction.also.blobs]
    assert bench.journal.take_segment() is None
    assert (bench.journal.packed_seq, bench.journal.bytes_unpacked) == (2, 0)
    assert bench.journal.is_asleep
    assert not bench.journal.blobs


def test_a_blob_that_is_kept_again_is_not_released() -> None:
    bench = journal_of(record(1))
    bench.journal.append("step_done", at=2_000, body=LARGE)
    bench.journal.keep_blobs(Blob(b"other", b"y"))
    bench.journal.fold()

    bench.journal.append("step_done", at=2_000, body=LARGE)

    assert list(bench.submitted[0].also.released) == [b"other"]


# ------------------------------------------------------------------------------ packing
def test_a_segment_has_what_was_not_packed_yet() -> None:
    bench = journal_of(*records(1, 4), packed_seq=2)
    bytes_read = bench.journal.bytes_unpacked
    appended = bench.journal.append("step_done", at=2_000, body=VALUE + b"12345")
    assert bench.journal.bytes_unpacked >= bytes_read + 6

    segment = bench.journal.take_segment()

    assert segment is not None
    assert (segment.first_seq, segment.last_seq) == (3, 5)
    assert unpack_records(segment.body) == [*records(3, 4), appended]
    assert (bench.journal.packed_seq, bench.journal.bytes_unpacked) == (5, 0)
    assert bench.journal.take_segment() is None


def test_a_record_that_was_read_with_its_blob_is_packed_with_the_address() -> None:
    read = record(1, body=LARGE)
    segment = journal_of(read).journal.take_segment()

    assert segment is not None
    [packed] = unpack_records(segment.body)
    assert packed == msgspec.structs.replace(read, body=detach(LARGE)[0])


# ---------------------------------------------------------------------------- replaying
def test_a_record_whose_operation_was_asked_for_is_taken() -> None:
    journal = journal_of(*records(1, 2)).journal
    journal.issued("0:1", "shop.py:7")

    journal.check(record(1))
    with pytest.raises(ReplayMismatch):
        journal.check(record(2))


def test_another_operation_in_its_place_is_told_with_both_source_lines() -> None:
    charge = Record(2, "step_done", "0#1:charge", "charge", 1_002, 1, 0, "shop.py:7", VALUE)
    journal = journal_of(record(1), charge).journal
    journal.issued("0#1:refund", "shop.py:8")

    with pytest.raises(ReplayMismatch) as raised:
        journal.check(charge)

    assert raised.value.expected == "'charge' at 0#1 (shop.py:7)"
    assert raised.value.actual == "'refund' at 0#1 (shop.py:8)"


def test_nothing_in_its_place_is_told_with_the_last_operation() -> None:
    charge = Record(2, "step_done", "0#2:charge", "charge", 1_002, 1, 0, "shop.py:7", VALUE)
    journal = journal_of(record(1), charge).journal
    with pytest.raises(ReplayMismatch) as first:
        journal.check(charge)
    journal.issued("0:begin", "shop.py:5")
    journal.issued("0#1:reserve", "shop.py:6")

    with pytest.raises(ReplayMismatch) as then:
        journal.check(charge)

    assert first.value.actual == "nothing there (its last operation was none)"
    assert then.value.actual == (
        "nothing there (its last operation was 'reserve' at 0#1 (shop.py:6))"
    )


@pytest.mark.parametrize("kind", ["signal", "cancel_requested", "run_began", "run_closed"])
def test_what_the_code_does_not_ask_for_is_not_checked(kind: Kind) -> None:
    journal_of(record(1)).journal.check(record(2, kind=kind))


def test_after_replay_nothing_is_checked_or_found() -> None:
    bench = journal_of(*records(1, 2))
    assert bench.journal.recorded("step_done", "0:2") == record(2)
    assert bench.journal.recorded("timer_fired", "0:2") is None
    assert bench.journal.records_to_replay() == records(1, 2)
    assert bench.journal.is_replaying

    bench.journal.end_replay()

    bench.journal.check(record(2))
    assert bench.journal.recorded("step_done", "0:2") is None
    assert bench.journal.records_to_replay() == []
    assert not bench.journal.is_replaying
