"""The demo's accounts find it when something does not add up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from outlast.agents import BudgetInfo
from outlast.demo.accounts import Account, Evidence, Talk, account_for
from outlast.demo.bill import Billed, Usage
from outlast.demo.manual import Manual, Page, page_text
from outlast.demo.spectator import Heard

PAGE = Page("bisect", "insort", "It inserts.", 1)
DRAFT, FINAL = Usage(100, 10), Usage(120, 5)
CUT = Usage(100, 12)


def billed(number: int, question: str, usage: Usage, *, is_delivered: bool = True) -> Billed:
    return Billed(number, question, usage, is_delivered=is_delivered)


def heard(*texts: str) -> Heard:
    return Heard(pieces=[("a", True, text) for text in texts], retracted=3)


LEDGER = BudgetInfo(
    name="demo",
    is_named=True,
    usd=Decimal("0.01"),
    tokens=DRAFT.tokens + FINAL.tokens + 200,
    tool_calls=0,
    usd_reserved=Decimal(),
    tokens_reserved=0,
    usd_lost=Decimal("0.004"),
    tokens_lost=200,
    usd_limit=None,
    tokens_limit=None,
    tool_calls_limit=None,
    used_at=datetime.now(UTC),
)
EVIDENCE = Evidence(
    manual=Manual([PAGE], "demo", Decimal("0.01"), 435),
    talks=[Talk("Writer", "bisect", 2, 0, [("It puts.", DRAFT), ("It inserts.", FINAL)])],
    bill=[
        billed(1, "explain", CUT, is_delivered=False),
        billed(2, "explain", DRAFT),
        billed(3, "revise", FINAL),
    ],
    ledger=LEDGER,
    heard={"bisect": heard("It puts.", "It inserts.")},
    pages={"bisect": page_text(PAGE)},
)


def test_a_response_that_was_cut_off_and_asked_for_again_adds_up() -> None:
    account = account_for(EVIDENCE)

    assert account.problems == []
    assert (account.requests, account.requests_recorded, account.requests_cut_off) == (3, 2, 1)
    assert (account.said_twice, account.paid_twice, account.lost) == (0, 0, 0)
    assert account.usd_billed == Decimal("0.000214")
    assert account.tokens_billed == 347


def test_what_a_client_heard_twice_is_found() -> None:
    account = told(
        replace(EVIDENCE, heard={"bisect": heard("It puts.", "It puts.", "It inserts.")})
    )

    assert account.said_twice == 1
    assert "1 responses were heard that are not recorded" in account.problems


def test_a_question_that_was_answered_twice_is_found() -> None:
    again = billed(4, "revise", FINAL)

    account = told(replace(EVIDENCE, bill=[*EVIDENCE.bill, again]))

    assert account.paid_twice == 1
    assert account.lost == 1


def test_a_page_that_is_missing_or_another_is_lost() -> None:
    assert told(replace(EVIDENCE, pages={})).lost == 1
    assert told(replace(EVIDENCE, pages={"bisect": "## bisect"})).lost == 1


def test_words_that_a_client_missed_are_found() -> None:
    [problem] = told(replace(EVIDENCE, heard={"bisect": heard("It puts.")})).problems

    assert problem == "what was heard of bisect is not what is recorded"


def test_a_ledger_below_the_bill_is_found() -> None:
    ledger = replace(LEDGER, tokens=235, tokens_lost=0, usd=Decimal("0.0002"))

    [tokens, dollars] = told(replace(EVIDENCE, ledger=ledger)).problems

    assert tokens == "the model has generated 347 tokens, and the ledger has 235"
    assert dollars.startswith("the model's bill is 0.000214 dollars")


def test_what_the_ledger_counts_beside_the_conversations_is_found() -> None:
    ledger = replace(LEDGER, tokens_lost=100, tokens_reserved=50)

    [difference, reserved] = told(replace(EVIDENCE, ledger=ledger)).problems

    assert "335 tokens beside those that were lost, and the conversations 235" in difference
    assert reserved == "50 tokens are still reserved"


def told(evidence: Evidence) -> Account:
    account = account_for(evidence)
    assert account.problems
    return account
