"""The demo's accounts: conversations compared with the model's bill and what a client heard.

Nothing is taken from what the demo's engine said of itself: the conversations and the ledger come
from the store, the bill from the model's own process, the words from a client, the pages from disk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import msgspec
from pydantic_ai import ModelResponse

from outlast.agents import BudgetInfo, Entry, budget_info, conversation_entries
from outlast.demo.agents import BUDGET, PRICE, Critic, Reader, Writer
from outlast.demo.bill import Billed, Usage
from outlast.demo.manual import Manual, page_text
from outlast.demo.spectator import Heard
from outlast.engine import Engine
from outlast.errors import ActorNotFound
from outlast.types import ActorInfo

AGENTS = (Reader, Writer, Critic)


@dataclass(frozen=True, slots=True)
class Talk:
    """One conversation, as it is recorded: the agent's name, the module, what was answered."""

    agent: str
    module: str
    turns: int
    turns_failed: int
    responses: list[tuple[str, Usage]]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is compared."""

    manual: Manual
    talks: Sequence[Talk]
    bill: Sequence[Billed]
    ledger: BudgetInfo | None
    heard: Mapping[str, Heard]
    pages: Mapping[str, str]  # the texts of the files, by module


@dataclass(frozen=True, slots=True)
class Account:
    """All figures of one demo.

    Attributes:
        requests: responses that the model has generated, by its own count.
        requests_recorded: those that are in the conversations.
        requests_cut_off: those whose client died; each is asked again.
        said_twice: responses that a client heard, and that are not in the conversations.
        responses_heard, words_heard: what it heard of the writer, and was not taken back.
        paid_twice: responses that were delivered although the same question was answered before.
        lost: responses that were delivered and are in no conversation, and pages that are missing.
        tokens_lost: what the ledger counts for requests that were cut off, at their worst case.
    """

    modules: int
    revisions: int
    conversations: int
    turns: int
    requests: int
    requests_recorded: int
    requests_cut_off: int
    said_twice: int
    paid_twice: int
    lost: int
    responses_heard: int
    words_heard: int
    words_retracted: int
    tokens_billed: int
    tokens_counted: int
    tokens_lost: int
    usd_billed: Decimal
    usd_counted: Decimal
    usd_lost: Decimal
    approved_by: str | None
    problems: list[str] = field(default_factory=list[str])


def account_for(evidence: Evidence) -> Account:
    """Return the figures, and what does not add up."""
    manual, talks, bill, ledger = evidence.manual, evidence.talks, evidence.bill, evidence.ledger
    delivered = [billed for billed in bill if billed.is_delivered]
    recorded = [usage for talk in talks for _, usage in talk.responses]
    missing = sum(evidence.pages.get(p.module) != page_text(p) for p in manual.pages)
    answered = Counter(billed.fingerprint for billed in delivered)
    account = Account(
        modules=len(manual.pages),
        revisions=sum(page.revisions for page in manual.pages),
        conversations=len(talks),
        turns=sum(talk.turns for talk in talks),
        requests=len(bill),
        requests_recorded=len(recorded),
        requests_cut_off=len(bill) - len(delivered),
        said_twice=sum(_unrecorded(talk, evidence.heard) for talk in talks),
        paid_twice=sum(times - 1 for times in answered.values()),
        lost=max(0, len(delivered) - len(recorded)) + missing,
        responses_heard=sum(len(heard.texts) for heard in evidence.heard.values()),
        words_heard=sum(heard.tokens for heard in evidence.heard.values()),
        words_retracted=sum(heard.retracted for heard in evidence.heard.values()),
        tokens_billed=sum(billed.usage.tokens for billed in bill),
        tokens_counted=0 if ledger is None else ledger.tokens,
        tokens_lost=0 if ledger is None else ledger.tokens_lost,
        usd_billed=sum((cost_of(billed.usage) for billed in bill), Decimal()),
        usd_counted=Decimal() if ledger is None else ledger.usd,
        usd_lost=Decimal() if ledger is None else ledger.usd_lost,
        approved_by=manual.approved_by,
    )
    account.problems.extend([*_problems(account), *_differences(evidence)])
    return account


def cost_of(usage: Usage) -> Decimal:
    """Return what a response costs."""
    total = usage.prompt_tokens * Decimal(PRICE.input)
    return (total + usage.completion_tokens * Decimal(PRICE.output)) / 1_000_000


def _unrecorded(talk: Talk, heard: Mapping[str, Heard]) -> int:
    """Return how many responses of the writer were heard, and are not recorded."""
    if talk.agent != Writer.__name__ or talk.module not in heard:
        return 0
    surplus = Counter(heard[talk.module].texts)
    surplus.subtract(text for text, _ in talk.responses)
    return sum(times for times in surplus.values() if times > 0)


def _problems(account: Account) -> list[str]:
    problems: list[str] = []
    if account.said_twice:
        problems.append(f"{account.said_twice} responses were heard that are not recorded")
    if account.paid_twice:
        problems.append(f"{account.paid_twice} questions were answered twice by the model")
    if account.lost:
        problems.append(f"{account.lost} responses or pages are lost")
    if account.tokens_billed > account.tokens_counted:
        problems.append(
            f"the model has generated {account.tokens_billed:,} tokens, and the ledger has "
            f"{account.tokens_counted:,}"
        )
    if account.usd_billed > account.usd_counted:
        problems.append(
            f"the model's bill is {account.usd_billed} dollars, and the ledger has "
            f"{account.usd_counted}"
        )
    return problems


def _differences(evidence: Evidence) -> list[str]:
    """Return what the conversations say otherwise than others."""
    problems: list[str] = []
    delivered = sum(billed.is_delivered for billed in evidence.bill)
    recorded = sum(len(talk.responses) for talk in evidence.talks)
    if recorded > delivered:
        problems.append(f"{recorded} responses are recorded, and {delivered} were delivered")
    for talk in evidence.talks:
        texts = [text for text, _ in talk.responses]
        if talk.agent == Writer.__name__:
            heard = evidence.heard.get(talk.module, Heard()).texts
            if heard != texts:
                problems.append(f"what was heard of {talk.module} is not what is recorded")
            if not any(p.text in texts for p in evidence.manual.pages if p.module == talk.module):
                problems.append(f"the page of {talk.module} is not in its writer's conversation")
        if talk.turns_failed:
            problems.append(f"{talk.turns_failed} turns of {talk.agent}/{talk.module} failed")
    ledger = evidence.ledger
    counted = sum(usage.tokens for talk in evidence.talks for _, usage in talk.responses)
    if ledger is not None and ledger.tokens - ledger.tokens_lost != counted:
        problems.append(
            f"the ledger has {ledger.tokens - ledger.tokens_lost:,} tokens beside those that were "
            f"lost, and the conversations {counted:,}"
        )
    if ledger is not None and ledger.tokens_reserved:
        problems.append(f"{ledger.tokens_reserved:,} tokens are still reserved")
    return problems


async def gather_evidence(
    db: Path, manual: Manual, bill: Sequence[Billed], heard: Mapping[str, Heard], folder: Path
) -> Evidence:
    """Read what the store and the disk have, beside an engine that may be running."""
    talks: list[Talk] = []
    async with Engine.open(db, read_only=True) as engine:
        for page in manual.pages:
            for kind in AGENTS:
                try:
                    info = await engine.actor_info(kind, page.module)
                except ActorNotFound:
                    continue  # then its responses are missing, and that is told
                talks.append(await _talk(engine, kind.__name__, info))
        ledger = await budget_info(engine, BUDGET)
    files = {page.module: folder / f"{page.module}.md" for page in manual.pages}
    pages = {m: path.read_text(encoding="utf-8") for m, path in files.items() if path.exists()}
    return Evidence(manual, talks, bill, ledger, heard, pages)


class _Ends(msgspec.Struct):
    turns: int
    entries: int


async def _talk(engine: Engine, agent: str, info: ActorInfo) -> Talk:
    """Read a conversation to its end, as its actor's state has it: its stream would wait on."""
    ends = msgspec.convert(info.state, _Ends)
    responses: list[tuple[str, Usage]] = []
    failed = 0
    if ends.entries:
        async for event in engine.get(info.id).stream(conversation_entries):
            if isinstance(event.value, Entry):
                failed += event.value.outcome == "failed"
                if isinstance(event.value.message, ModelResponse):
                    responses.append(_response(event.value.message))
            if event.offset + 1 >= ends.entries:
                break
    return Talk(agent, info.key, ends.turns, failed, responses)


def _response(message: ModelResponse) -> tuple[str, Usage]:
    usage = Usage(message.usage.input_tokens, message.usage.output_tokens)
    return message.text or "", usage
