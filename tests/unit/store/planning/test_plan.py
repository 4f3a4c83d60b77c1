"""What a batch does to tables, planned from facts alone: no database is at hand here."""

from __future__ import annotations

from msgspec.structs import replace

from outlast._records import Blob, Record
from outlast._store.decisions import life_of
from outlast._store.planning.facts import Facts, questions_of
from outlast._store.planning.plan import Counters, Plan, plan_batch
from outlast._store.rows import DONE, Answer, Message, RunRow, TokenRow
from outlast._store.transactions import FENCED, Effects, Receipt, StartRun, Transaction
from outlast.types import Lease, RunId
from tests.conformance.driving import new_row

HELD = Lease(0, "engine", 3)
A, B = RunId("a"), RunId("b")


def planned(*batch: Transaction, facts: Facts | None = None) -> Plan:
    return plan_batch(batch, facts, HELD, Counters(position=10, message=100))


def record(seq: int) -> Record:
    return Record(seq, "step_done", f"0#{seq}:s", "s", 1_000 + seq, 3)


def signal(run: RunId, body: bytes = b"x", dedup: str = "") -> Message:
    return Message(run=run, kind="signal", name="go", body=body, dedup=dedup)


def closed(run: RunId) -> RunRow:
    return replace(new_row(run), status="completed", closed_at=2_000, resident=False)


def receipts(plan: Plan) -> list[Receipt]:
    return [result for result in plan.results if isinstance(result, Receipt)]


def test_records_get_the_next_positions_in_the_order_of_the_batch() -> None:
    one = Transaction(HELD, A, [record(1), record(2)])
    two = Transaction(HELD, B, [record(1)])

    plan = planned(one, two)

    assert plan.results == [Receipt(11), Receipt(13)]
    assert [(run, first) for run, first, _ in plan.stages[0].records] == [(A, 11), (B, 13)]
    assert plan.counters == Counters(13, 100)
    assert not plan.stages[0].has_more


def test_a_transaction_of_another_epoch_or_owner_changes_nothing() -> None:
    stale = Transaction(Lease(0, "engine", 2), A, [record(1)], Effects(summary=closed(A)))
    foreign = Transaction(Lease(0, "another", 3), A, [record(1)])

    plan = planned(stale, foreign)

    assert plan.results == [FENCED, FENCED]
    assert plan.stages[0].records == []
    assert plan.stages[0].summaries == {}


def test_records_alone_ask_nothing_of_the_database() -> None:
    assert questions_of([Transaction(HELD, A, [record(1)])]) is None


def test_a_batch_asks_for_what_its_decisions_depend_on() -> None:
    start = StartRun(new_row(A), (record(1),), "if_failed")
    asked = questions_of(
        [
            Transaction(None, A, [], Effects(starts=(start,), posts=(signal(B, dedup="k"),))),
            Transaction(HELD, B, [], Effects(consumed=(7,))),
            Transaction(HELD, A, [], Effects(of_life="then")),
        ]
    )

    assert asked is not None
    assert (asked.ids, asked.mailboxes, asked.signalled) == ((A,), (B,), (B,))
    assert (asked.dedups, asked.consumed, asked.lives) == ([(B, "k")], [7], (A,))


def test_of_two_starts_of_one_id_the_first_creates_and_the_second_finds_it() -> None:
    one, two = new_row(A), replace(new_row(A), request="second")
    plan = planned(
        Transaction(None, A, [], Effects(starts=(StartRun(one, (record(1),), "if_failed"),))),
        Transaction(None, A, [], Effects(starts=(StartRun(two, (record(1),), "if_failed"),))),
        facts=Facts(),
    )

    first, second = receipts(plan)
    assert first.existing == {}
    assert second.existing[A].request == one.request
    assert list(plan.stages[0].rows) == [A]
    assert plan.stages[0].rows[A].started_position == 11


def test_a_run_that_gives_way_is_deleted_behind_what_was_before_and_in_front_of_the_new_one() -> (
    None
):
    plan = planned(
        Transaction(HELD, A, [record(1)]),
        Transaction(None, A, [], Effects(starts=(StartRun(new_row(A), (record(1),), "always"),))),
        facts=Facts(rows={A: closed(A)}, statuses={A: "completed"}),
    )

    before, after = plan.stages
    assert before.forgotten is None
    assert before.records
    assert not before.rows
    assert after.forgotten == A
    assert list(after.rows) == [A]


def test_messages_are_numbered_and_counted_while_the_batch_goes_on() -> None:
    bounded = replace(signal(A), bound=2)
    facts = Facts(statuses={A: "waiting"}, waiting={A: 1}, signal_bytes={A: 1})

    plan = planned(
        Transaction(
            None,
            A,
            [],
            Effects(
                posts=(
                    bounded,
                    bounded,
                )
            ),
        ),
        facts=facts,
    )

    [receipt] = receipts(plan)
    assert receipt.posts == ("accepted", "full")
    assert receipt.numbers == (101, 0)
    assert [message.number for message in plan.stages[0].posts] == [101]


def test_a_message_that_leaves_makes_room_for_one_behind_it_in_the_batch() -> None:
    facts = Facts(statuses={A: "waiting"}, waiting={A: 1}, signal_bytes={A: 1}, sizes={7: 1})

    plan = planned(
        Transaction(HELD, A, [record(1)], Effects(consumed=(7,))),
        Transaction(None, A, [], Effects(posts=(replace(signal(A), bound=1),))),
        facts=facts,
    )

    assert receipts(plan)[1].posts == ("accepted",)
    assert plan.stages[0].consumed == [(7, A)]


def test_a_dedup_key_that_is_done_or_unread_is_a_duplicate_and_another_body_a_conflict() -> None:
    waiting = replace(signal(A, dedup="k"), number=7)
    facts = Facts(statuses={A: "waiting"}, waiting={A: 1}, unread=[waiting], done={(A, "old")})
    posts = (signal(A, dedup="k"), signal(A, b"other", dedup="k"), signal(A, dedup="old"))

    plan = planned(Transaction(None, A, [], Effects(posts=posts)), facts=facts)

    assert receipts(plan)[0].posts == ("duplicate", "conflict", "duplicate")


def test_what_a_transaction_says_of_a_message_counts_for_those_behind_it() -> None:
    facts = Facts(statuses={A: "waiting"}, waiting={A: 0})

    plan = planned(
        Transaction(HELD, A, [], Effects(values=((f"{DONE}k", b""),))),
        Transaction(None, A, [], Effects(posts=(signal(A, dedup="k"),))),
        facts=facts,
    )

    assert receipts(plan)[1].posts == ("duplicate",)


def test_nothing_is_posted_to_a_run_that_has_ended_earlier_in_the_batch() -> None:
    facts = Facts(statuses={A: "running"}, waiting={A: 0}, signal_bytes={A: 0})

    plan = planned(
        Transaction(HELD, A, [record(1)], Effects(summary=closed(A))),
        Transaction(None, A, [], Effects(posts=(signal(A),))),
        facts=facts,
    )

    assert receipts(plan)[1].posts == ("closed",)
    assert list(plan.stages[0].closed) == [A]


def test_of_two_answers_to_a_token_the_first_is_taken() -> None:
    token = TokenRow(
        id="t", run=A, workflow="w", key="0#1:approval", kind="approval", title="ok?",
        detail="null", digest="d", created_at=1_000, expires_at=None,
    )  # fmt: skip
    told = Message(run=A, kind="token", name=token.key)
    yes = Answer(token="t", status="answered", message=told, at=1_500, value=b"yes")
    no = replace(yes, value=b"no")
    facts = Facts(statuses={A: "waiting"}, waiting={A: 0}, tokens={"t": token})

    plan = planned(
        Transaction(None, A, [], Effects(answers=(yes,))),
        Transaction(None, A, [], Effects(answers=(no,))),
        facts=facts,
    )

    first, second = receipts(plan)
    assert (first.answers[0].result, first.answers[0].number) == ("accepted", 101)
    assert second.answers[0].result == "answered"
    assert [row.value for row in plan.stages[0].tokens] == [b"yes"]
    assert len(plan.stages[0].posts) == 1


def test_a_transaction_for_another_life_of_its_run_changes_nothing() -> None:
    old = new_row(A)
    facts = Facts(lives={A: life_of(replace(old, request="anew"))})

    plan = planned(Transaction(HELD, A, [record(1)], Effects(of_life=life_of(old))), facts=facts)

    assert plan.results == [Receipt()]
    assert plan.stages[0].records == []


def test_blobs_are_let_go_behind_what_still_needs_them() -> None:
    blob = Blob(b"d" * 32, b"large")
    plan = planned(
        Transaction(HELD, A, [record(1)], Effects(blobs=(blob,), released=(b"e" * 32,))),
        Transaction(HELD, A, [record(2)]),
    )

    first, second = plan.stages
    assert first.blobs == [blob]
    assert first.released == (A, (b"e" * 32,))
    assert [(run, position) for run, position, _ in second.records] == [(A, 12)]
