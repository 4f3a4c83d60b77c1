"""Who sends a request, and what it may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias
from urllib.parse import quote, unquote

from outlast._wire.formats.problems import Problem

Role: TypeAlias = Literal["viewer", "operator", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the name of a token or of a local user, and its role."""

    name: str
    role: Role
    digest: bytes = b""  # of the token that said so
    is_local: bool = False  # the kernel says who it is: a process of the store's own user

    def may(self, role: Role) -> bool:
        """Whether the caller's role includes `role`."""
        return ROLES.index(self.role) >= ROLES.index(role)


class Callers(Protocol):
    """Tells who sends a request."""

    def caller(self, authorization: str | None, address: str) -> Caller:
        """Return who asks.

        Raises:
            Problem: a token is missing or wrong.
        """
        ...

    def token_for(self, code: str, address: str) -> tuple[str, Caller]:
        """Return the token that a single-use code stands for, and whose it is.

        Raises:
            Problem: the code is wrong, spent or too old.
        """
        ...

    def still_opens(self, caller: Caller) -> bool:
        """Whether a caller may go on with what it began."""
        ...


RELAY = "Relay"
"""The scheme by which a server beside the owner says for whom it asks: `Relay ROLE NAME`."""


_NOBODY = "-"  # asks without a token; a token's name begins with a letter or a digit


def relayed(caller: Caller) -> str:
    """Return the Authorization header of a request that is passed on for somebody."""
    return f"{RELAY} {caller.role} {quote(caller.name) or _NOBODY}"


class LocalCallers:
    """The callers on a Unix socket that only its user may connect to: each may do everything.

    A server of that user that passes a request on says for whom; it has checked their token.
    """

    def __init__(self, user: str) -> None:
        self._caller = Caller(user, "admin", is_local=True)

    def caller(self, authorization: str | None, address: str) -> Caller:  # as asked
        """Return the local user, or the one for whom it asks."""
        scheme, _, rest = (authorization or "").partition(" ")
        if scheme != RELAY:
            return self._caller
        said, _, name = rest.partition(" ")
        role: Role | None = next((role for role in ROLES if role == said), None)
        if role is None:
            raise Problem(
                401,
                "token-wrong",
                f"expected `{RELAY} ROLE NAME` for the caller that the relay acts for",
            )
        return Caller("" if name == _NOBODY else unquote(name), role)

    def token_for(self, code: str, address: str) -> tuple[str, Caller]:  # there are none
        """Refuse: who connects here needs no token."""
        raise Problem(404, "not-found", "the Unix socket needs no sign-in code")

    def still_opens(self, caller: Caller) -> bool:  # the kernel let it in
        """Return True: the connection is the permission."""
        return True
