"""What is looked up before a batch is planned: the answers to its questions, from the tables."""

from __future__ import annotations

import json
from collections.abc import Sequence

from outlast._store.decisions import life_of
from outlast._store.planning.facts import Facts, Questions
from outlast._store.rows import DONE, Message
from outlast._store.sqlite.connection import Connection, texts
from outlast._store.sqlite.tables import columns as tables
from outlast._store.sqlite.tables import rows
from outlast._store.sqlite.tables.columns import fetch, is_whole
from outlast.types import RunId

# As many bytes as the messages have; of those that a codec has compressed, what is left of them.
SIGNAL_BYTES = (
    "SELECT run, sum(length(body)) - ?2 * count(*) FROM mailbox "
    "WHERE kind = 'signal' AND run IN carray(?1) GROUP BY run"
)
_WAITING = "SELECT run, count(*) FROM mailbox WHERE run IN carray(?) GROUP BY run"
_SIZES = (
    "SELECT number, length(body) - ?2 FROM mailbox "
    "WHERE number IN (SELECT value FROM json_each(?1)) AND kind = 'signal'"
)
_UNREAD = (
    "WHERE dedup <> '' AND (run, dedup) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))"
)
_DONE_ONES = (
    "SELECT run, name FROM run_values WHERE (run, name) IN "
    "(SELECT value ->> 0, ? || (value ->> 1) FROM json_each(?))"
)


def look_up(db: Connection, questions: Questions) -> Facts:
    """Answer the questions of a batch, in the transaction that will write it."""
    facts = Facts()
    if questions.ids:
        for row in rows.run_rows(db, "WHERE id IN carray(?)", (texts(questions.ids),)):
            facts.rows[row.id] = row
            facts.statuses[row.id] = row.status
    if questions.lives:
        for row in rows.run_rows(db, "WHERE id IN carray(?)", (texts(questions.lives),)):
            facts.lives[row.id] = life_of(row)
    if questions.mailboxes:
        facts.statuses.update(rows.read_statuses(db, questions.mailboxes))
        facts.waiting = _numbers_by_run(db, _WAITING, questions.mailboxes)
    if questions.signalled:
        # The index has both: no message is read.
        facts.signal_bytes = _numbers_by_run(db, SIGNAL_BYTES, questions.signalled, _overhead(db))
    if questions.consumed:
        consumed = json.dumps(questions.consumed)
        sizes = db.execute(_SIZES, (consumed, _overhead(db))).fetchall()
        facts.sizes = {rows.integer(number): rows.integer(size) for number, size in sizes}
    if questions.dedups:
        asked = json.dumps(questions.dedups, ensure_ascii=False)
        facts.unread = _unread(db, asked)
        done = db.execute(_DONE_ONES, (DONE, asked)).fetchall()
        facts.done = {(RunId(str(run)), str(name)[len(DONE) :]) for run, name in done}
    if questions.tokens:
        for cells in fetch(db, tables.TOKENS, "WHERE id IN carray(?)", (texts(questions.tokens),)):
            if is_whole(cells):
                facts.tokens[str(cells[0])] = rows.token(cells)
            else:
                facts.damaged_tokens.add(str(cells[0]))
    return facts


def _overhead(db: Connection) -> int:
    return 0 if db.codec is None else db.codec.envelopes.overhead


def _numbers_by_run(
    db: Connection, sql: str, runs: Sequence[RunId], *more: int
) -> dict[RunId, int]:
    """Return a number for each run, 0 for those that the query does not give."""
    numbers = dict.fromkeys(runs, 0)
    for run, number in db.execute(sql, (texts(runs), *more)).fetchall():
        if isinstance(number, int):
            numbers[RunId(str(run))] = number
    return numbers


def _unread(db: Connection, asked: str) -> list[Message]:
    # Of a damaged mailbox the run reads nothing.
    found = fetch(db, tables.MAILBOX, _UNREAD, (asked,))
    return [rows.message(cells) for cells in found if is_whole(cells)]
