"""Single-use codes: the link that `outlast dev` prints carries one, never the token.

A browser keeps the addresses it was given in its history. A code in it is worthless: it is taken
once, within a few minutes, for the token.

Invariants:
  * a code is taken at most once, and never after `limits.SIGN_IN_CODE_SECONDS`;
  * codes are kept as hashes, in memory only;
  * whoever presents a spent code, however often, has no more than one new code made in
    `limits.SIGN_IN_CODE_SECONDS`.
"""

from __future__ import annotations

from collections.abc import Callable

from outlast import limits
from outlast._server.tokenfile import digest_of
from outlast._world import entropy

_CODE_BITS = 160


def new_code() -> str:
    """Return an unguessable code."""
    return f"{entropy(_CODE_BITS):040x}"


class SignInCodes:
    """The codes of one server, each good for `token` once.

    `on_spent` is called with a new code when one that was taken before, or is too old, is
    presented and no other is good any more: the person who followed that link needs another.
    """

    def __init__(
        self,
        token: str,
        monotonic: Callable[[], float],
        on_spent: Callable[[str], object] | None = None,
    ) -> None:
        self.token: str = token
        self._monotonic = monotonic
        self._on_spent = on_spent
        self._ends_at: dict[bytes, float] = {}

    def new(self) -> str:
        """Return a new code."""
        code = new_code()
        self.add(code)
        return code

    def add(self, code: str) -> None:
        """Take a code from now on; the oldest ones are forgotten."""
        self._ends_at[digest_of(code)] = self._monotonic() + limits.SIGN_IN_CODE_SECONDS
        for digest in list(self._ends_at)[: -limits.SIGN_IN_CODES_MAX]:
            del self._ends_at[digest]

    def take(self, code: str) -> bool | None:
        """Return whether a code is good, and spend it; None for one that never was."""
        digest = digest_of(code)
        ends_at = self._ends_at.get(digest)
        if ends_at is None:
            return None
        is_good = self._monotonic() < ends_at
        self._ends_at[digest] = 0.0
        if not is_good and self._on_spent is not None and not self._is_one_good():
            self._on_spent(self.new())
        return is_good

    def _is_one_good(self) -> bool:
        now = self._monotonic()
        return any(now < ends_at for ends_at in self._ends_at.values())
