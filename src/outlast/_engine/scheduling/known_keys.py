"""Under which ids signals and updates of runs in the store have come, learned as journals grow.

A process that does not execute a run has nothing of it in memory. To tell whether a message is sent
again it looks in the run's journal: all of it once, and from then on only what was added.

Invariants:
  * what is kept of a run is of its present life: one started anew or retried is read anew;
  * a key that is returned leads to the record itself, which is read and compared: nothing is
    decided by what is kept here.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from outlast import limits
from outlast._execution.calls.operations import SignalBody, decode_body
from outlast._execution.calls.updates import UpdateBody
from outlast._records import Record
from outlast._store.contract import Store
from outlast._store.decisions import life_of
from outlast.errors import StoreDamaged
from outlast.types import RunId

_KEYS_MAX = limits.JOURNAL_RECORDS_MAX  # of all runs together: as many as one journal can have


@dataclass(slots=True)
class _Seen:
    """What one life of a run has recorded, up to a `seq`."""

    life: str
    upto: int = 0
    seqs: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])


class KnownKeys:
    """The keys of runs that were asked for last."""

    def __init__(self) -> None:
        self._runs: OrderedDict[RunId, _Seen] = OrderedDict()
        self._count = 0

    async def record(self, store: Store, run: RunId, kind: str, key: str) -> Record | None:
        """Return the record of the signal or update that came under a key; None without one."""
        while True:
            life = await _life(store, run)
            if life is None:
                self._forget(run)
                return None
            seen = self._seen(run, life)
            try:
                added = await store.read_journal(run, seen.upto)
                if self._runs.get(run) is not seen:
                    continue  # another call has forgotten it meanwhile
                for record in added:
                    self._note(seen, record)
                seq = seen.seqs.get((kind, key))
                found = [] if seq is None else await store.read_journal(run, seq - 1, seq)
            except StoreDamaged:
                if await _life(store, run) == life:
                    raise
                found = []  # the journal is another life's, with a beginning of its own
            if await _life(store, run) == life:
                self._shrink()
                return next(iter(found), None)
            self._forget(run)  # it was replaced meanwhile

    def _seen(self, run: RunId, life: str) -> _Seen:
        seen = self._runs.get(run)
        if seen is None or seen.life != life:
            self._forget(run)
            seen = self._runs[run] = _Seen(life)
        self._runs.move_to_end(run)
        return seen

    def _note(self, seen: _Seen, record: Record) -> None:
        if record.seq <= seen.upto:
            return  # another call has read it meanwhile
        seen.upto = record.seq
        key = key_of(record)
        if key is not None and key not in seen.seqs:
            seen.seqs[key] = record.seq
            self._count += 1

    def _shrink(self) -> None:
        """Forget those that were not asked for for longest, when there are too many keys."""
        while self._count > _KEYS_MAX:
            self._forget(next(iter(self._runs)))

    def _forget(self, run: RunId) -> None:
        seen = self._runs.pop(run, None)
        if seen is not None:
            self._count -= len(seen.seqs)


def key_of(record: Record) -> tuple[str, str] | None:
    """Return the kind and the id of the message that a record is of; None when it has none."""
    match record.kind:
        case "signal":
            dedup = decode_body(record.body, SignalBody).dedup
            return ("signal", dedup) if dedup else None
        case "update_accepted":
            return "update", decode_body(record.body, UpdateBody).id
        case _:
            return None


async def _life(store: Store, run: RunId) -> str | None:
    row = await store.read_run(run)
    return None if row is None else life_of(row)
