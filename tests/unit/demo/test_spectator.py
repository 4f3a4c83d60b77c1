"""What a client of the demo has heard, and what it was told to drop."""

from __future__ import annotations

from pydantic_ai import AgentStreamEvent, PartDeltaEvent, PartStartEvent
from pydantic_ai.messages import TextPart, TextPartDelta

from outlast.agents.events import event_adapter
from outlast.demo.spectator import Heard
from outlast.types import StreamEvent


def data(offset: int, writer: str, event: AgentStreamEvent) -> StreamEvent[object]:
    value: object = event_adapter().dump_python(event, mode="json")
    return StreamEvent(offset, "data", writer, value)


def begins(offset: int, writer: str, text: str) -> StreamEvent[object]:
    return data(offset, writer, PartStartEvent(index=0, part=TextPart(text)))


def goes_on(offset: int, writer: str, text: str) -> StreamEvent[object]:
    return data(offset, writer, PartDeltaEvent(index=0, delta=TextPartDelta(text)))


def test_responses_are_heard_word_by_word() -> None:
    heard = Heard()

    for event in (begins(0, "a", "It"), goes_on(1, "a", " puts."), begins(2, "b", "No.")):
        assert heard.take(event)

    assert heard.texts == ["It puts.", "No."]
    assert (heard.tokens, heard.saying, heard.retracted) == (3, 1, 0)


def test_what_a_dead_attempt_has_said_is_taken_back() -> None:
    heard = Heard()
    for event in (begins(0, "a", "Yes."), begins(1, "b", "It"), goes_on(2, "b", " pu")):
        heard.take(event)

    assert not heard.take(StreamEvent(3, "retract", "b"))
    heard.take(begins(4, "c", "It inserts."))

    assert heard.texts == ["Yes.", "It inserts."]
    assert (heard.tokens, heard.retracted) == (2, 2)
