"""What a new run is made of: its row and its first records."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from outlast._codec import Bound
from outlast._execution.calls.operations import SignalBody, StartedBody, encode_body
from outlast._records import Blob, Record, detach
from outlast._registry import WorkflowDefinition, cached_version_of
from outlast._store.rows import RunRow
from outlast._store.transactions import StartRun
from outlast._world import World
from outlast.types import OnParentClose, Reuse, RunId

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def new_run(
    world: World,
    definition: WorkflowDefinition,
    bound: Bound,
    *,
    run: RunId,
    shard: int,
    reuse: Reuse,
    delay: float = 0.0,
    timeout: float | None = None,
    attributes: str = "{}",
    signals: Sequence[tuple[str, bytes]] = (),
    parent: RunId | None = None,
    parent_key: str = "",
    on_parent_close: OnParentClose = "cancel",
    place: str = "",
    request: str = "",
    is_left_to_others: bool = False,
    keys_of: str = "",
    handed_down: str = "",
) -> tuple[StartRun, list[Blob]]:
    """Return the start of a run, ready to be committed, and the blobs that its input needs."""
    begins = (now := world.now()) + int(delay * 1e6)
    data, digest = definition.signature.stored(bound)
    started = StartedBody(
        input=data,
        salt=world.rng.getrandbits(60),
        version=cached_version_of(definition),
        python=PYTHON,
        signals=len(signals),
        id=run,
        chance_seed=world.new_seed(),
        keys_of=keys_of,
        handed_down=handed_down,
    )
    body, blob = detach(encode_body(started))
    blobs = [] if blob is None else [blob]
    # Its epoch is 0: it never had an owner.
    records = [Record(1, "run_started", "", definition.name, begins, 0, 0, place, body)]
    for seq, (name, payload) in enumerate(signals, start=2):
        body, blob = detach(encode_body(SignalBody(payload)))
        if blob is not None:
            blobs.append(blob)
        records.append(Record(seq, "signal", "", name, begins, 0, 0, place, body))
    seconds = timeout if timeout is not None else definition.timeout_seconds
    row = RunRow(
        id=run,
        shard=shard,
        workflow=definition.name,
        version=started.version,
        status="pending",
        created_at=now,
        wake_at=begins if delay > 0 else None,
        timeout_at=None if seconds is None else begins + int(seconds * 1e6),
        parent=parent,
        parent_key=parent_key,
        on_parent_close=on_parent_close,
        attributes=attributes,
        resident=delay <= 0 and not is_left_to_others,
        # It is not in memory anywhere: the next engine that has its workflow wakes it.
        parked_as="code" if is_left_to_others and delay <= 0 else "",
        last_seq=len(records),
        request=request,
        digest=digest,
    )
    return StartRun(row, tuple(records), reuse), blobs
