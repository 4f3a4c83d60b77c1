"""Problems of a server as the errors that an engine would have raised."""

from __future__ import annotations

import msgspec

from outlast import errors
from outlast._wire.formats.kinds import kind_of


class ServerStopping(errors.EngineClosed):
    """The server's engine drains or has closed: it may be starting anew."""


AWAY = (errors.StoreUnavailable, ServerStopping)
"""What says that the server cannot answer now: whoever waits for a run asks again."""


class _Told(msgspec.Struct):
    type: str = ""
    detail: str = ""
    facts: dict[str, str | int | float | bool | None] = {}


def _all_below(kind: type[errors.OutlastError]) -> list[type[errors.OutlastError]]:
    found = [kind]
    for below in kind.__subclasses__():
        found += _all_below(below)
    return found


_BY_KIND = {kind_of(kind): kind for kind in _all_below(errors.OutlastError)}


def error_of(status: int, body: bytes) -> errors.OutlastError:
    """Return the error of an answer that is none."""
    try:
        told = msgspec.json.decode(body, type=_Told)
    except msgspec.DecodeError:
        return errors.StoreUnavailable(
            f"unexpected answer from the server (status {status}): check that the URL is that of "
            "an outlast server"
        )
    kind = _BY_KIND.get(told.type.rpartition("/")[2])
    if kind is None:
        return errors.ServerRefused(status, told.type.rpartition("/")[2], told.detail)
    if kind is errors.EngineClosed:
        kind = ServerStopping
    # The message was made there; making it anew here would need what made it.
    error = kind.__new__(kind)
    error.args = (told.detail,)
    for name, value in told.facts.items():
        setattr(error, name, value)
    return error
