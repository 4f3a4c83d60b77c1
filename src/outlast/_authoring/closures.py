"""Steps whose body is a function on the spot: what `wf.step(name, body)` gives.

receipt = await wf.step("charge", lambda: bank.charge(order, cents), key=f"charge/{order}")
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache

from outlast._authoring.step import checked_definition
from outlast._codec import Adapter, ClosureSignature, SignatureCodec, adapter_for, has_name
from outlast._handles.call import ClosureCall
from outlast._registry import StepDefinition
from outlast._wording.names import check_name
from outlast._wording.source_lines import calling_place, defining_locals
from outlast.errors import RegistrationError, UsageError
from outlast.types import Duration, Once, Retry, Timeout

_Body = Callable[[], object]
_CODECS_MAX = 256


def closure_call(
    name: str,
    body: _Body,
    *,
    key: str | None,
    retry: Retry | None,
    timeout: Timeout | Duration | None,
    raises: tuple[type[BaseException], ...],
    once: Once,
    returns: object,
) -> ClosureCall[object]:
    """Return a call of a step that has this body.

    Raises:
        UsageError: what is given is no function, no name, or contradicts itself.
    """
    if not callable(body):
        raise UsageError(
            f"the body of step {name!r} is a function without parameters, not {body!r}: give it "
            f"as it is, or as `lambda: fetch(url)`, and do not call it"
        )
    definition = closure_definition(
        name, body, retry=retry, timeout=timeout, raises=raises, once=once, returns=returns
    )
    return ClosureCall(definition, calling_place(), key)


def closure_definition(
    name: str,
    body: _Body,
    *,
    retry: Retry | None = None,
    timeout: Timeout | Duration | None = None,
    raises: tuple[type[BaseException], ...] = (),
    once: Once = "at_least",
    returns: object = None,
) -> StepDefinition:
    """Return the definition of a step that has this body; it is not registered.

    Raises:
        UsageError: no name, or options that contradict each other.
    """
    try:
        return checked_definition(
            StepDefinition(
                name=check_name("a step's name", name),
                fn=body,
                signature=_signature_of(_returns_of(body, returns)),
                is_async=inspect.iscoroutinefunction(body),
                raises=raises,
                once=once,
            ),
            retry=retry,
            timeout=timeout,
        )
    except RegistrationError as error:
        said = f"{error}".removeprefix(f"step {name!r}: ")
        raise UsageError(f"step {name!r}: {said}") from None


def _returns_of(body: _Body, returns: object) -> Adapter:
    if returns is not None:
        return adapter_for(returns)
    annotation: object = getattr(body, "__annotations__", {}).get("return", object)
    if has_name(annotation):
        return SignatureCodec(body, localns=defining_locals(body)).returns
    return adapter_for(annotation)


@lru_cache(maxsize=_CODECS_MAX)
def _signature_of(returns: Adapter) -> SignatureCodec:
    return ClosureSignature(returns)
