"""What a response says that it has used, where that is possible: it comes from outside.

A negative count would give a budget more than its limit, and one of 2**63 cannot be stored.
"""

from __future__ import annotations

from typing import NamedTuple

from pydantic_ai import ModelResponse

TOKENS_MAX = 2**40
"""More tokens than any request can have."""


class Tokens(NamedTuple):
    """The tokens of one request."""

    input: int
    output: int


def reported_tokens(response: ModelResponse) -> Tokens | None:
    """Return what a response has used; None if it does not say, or says what cannot be."""
    usage = response.usage
    found = Tokens(usage.input_tokens, usage.output_tokens)
    counts = (*found, usage.cache_read_tokens, usage.cache_write_tokens)
    is_possible = all(0 <= count <= TOKENS_MAX for count in counts)
    return found if is_possible and any(found) else None


def measured_tokens(response: ModelResponse) -> Tokens | None:
    """Return the same of a response that is complete and all of whose requests were measured."""
    if response.state != "complete" or response.usage.unmeasured_requests:
        return None
    return reported_tokens(response)
