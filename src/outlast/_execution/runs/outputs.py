"""What the code of a run shows to those outside: values, streams, attributes."""

from __future__ import annotations

from collections.abc import Mapping

from outlast._execution.calls.operations import WrittenBody, decode_body
from outlast._execution.calls.streams import write_value
from outlast._execution.runs.run import LiveRun
from outlast._store.attributes import merged_attributes
from outlast._wording.source_lines import calling_place


class RunOutputs:
    """The values, streams and attributes of one run, as its code writes them."""

    __slots__ = ("_run",)

    def __init__(self, run: LiveRun) -> None:
        self._run = run

    def set_value(self, name: str, data: bytes) -> None:
        """Set a value, already encoded; the last one set wins."""
        run, journal = self._run, self._run.journal
        key = run.loop.next_key(f"set {name}")
        place = calling_place()
        journal.issued(key, place)
        if journal.recorded("value_set", key) is None:
            write_value(journal, run.host.world.now(), name=name, data=data, key=key, place=place)

    def write(self, stream: str, data: bytes) -> int:
        """Append an encoded value to a stream, and return its offset."""
        run, journal = self._run, self._run.journal
        key = run.loop.next_key(f"write {stream}")
        journal.issued(key, calling_place())
        written = journal.recorded("stream_written", key)
        if written is not None:
            return decode_body(written.body, WrittenBody).offset
        streams, now = run.steps.streams, run.host.world.now()
        writer = streams.writer_of(key, run.row)
        offset = streams.offsets.get(stream, 0)
        streams.write(stream, [data], key=key, writer=writer, now=now)
        return offset

    @property
    def attributes(self) -> str:
        """The attributes that the run has, as JSON."""
        return self._run.summary.attributes

    def set_attributes(self, changes: Mapping[str, object]) -> None:
        """Set attributes that listings can filter by; None removes one.

        Raises:
            UsageError: a name or value that cannot be an attribute, or too many of them.
        """
        summary = self._run.summary
        merged = merged_attributes(summary.attributes, changes)
        if merged != summary.attributes:
            summary.attributes = merged
            self._run.host.run_changed(self._run.id)
