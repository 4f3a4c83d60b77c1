"""What a new run is made of: its row and its first records."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from outlast import limits
from outlast._codec import Bound
from outlast._execution.calls.operations import SignalBody, StartedBody, encode_body
from outlast._records import Blob, Record, detach
from outlast._registry import WorkflowDefinition, cached_version_of
from outlast._store.rows import RunRow
from outlast._store.transactions import StartRun
from outlast._world import World
from outlast.errors import UsageError
from outlast.types import OnParentClose, Reuse, RunId

TRACEPARENT = "traceparent"
"""The attribute that says which trace a run belongs to, as W3C Trace Context writes it."""

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def check_name(what: str, name: str, chars_max: int = limits.NAME_CHARS_MAX) -> str:
    """Return `name` if it can be an id or a name.

    Raises:
        UsageError: it is empty, too long, has control characters, or is "." or "..".
    """
    if not isinstance(name, str):
        raise UsageError(f"{what} must be text, got {type(name).__name__}")
    if not name or len(name) > chars_max or not name.isprintable():
        raise UsageError(f"{what} {name[:50]!r} must have 1 to {chars_max} printable characters")
    if name in (".", ".."):
        # Browsers and HTTP clients take such a part out of a path, also when it is encoded.
        raise UsageError(f"{what} cannot be {name!r}: it has a special meaning in a URL")
    return name


def check_text(what: str, text: str) -> str:
    """Return `text` if it can be stored.

    Raises:
        UsageError: it is no text, or has lone surrogates, or is longer than a line should be.
    """
    if not isinstance(text, str):
        raise UsageError(f"{what} must be text, got {type(text).__name__}")
    if len(text) > limits.REASON_CHARS_MAX or (not text.isascii() and _has_surrogates(text)):
        raise UsageError(
            f"{what} must have at most {limits.REASON_CHARS_MAX:,} characters "
            f"and no lone surrogates"
        )
    return text


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def inherited(attributes: str) -> str:
    """Return those attributes of a run that its children have too: the trace."""
    if f'"{TRACEPARENT}"' not in attributes:
        return "{}"
    return json.dumps({TRACEPARENT: json.loads(attributes).get(TRACEPARENT)})


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
