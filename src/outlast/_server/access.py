"""Who may call a server: its tokens, and who has tried wrong ones.

Invariants:
  * a token that was taken out of the file opens nothing any more, at once; so does each when the
    file cannot be read;
  * tokens are compared by their hashes, in a time that does not depend on them;
  * a token is never in a log, an error or a url.
"""

from __future__ import annotations

import hmac
import logging
from collections import deque
from collections.abc import Callable, Sequence

from outlast import limits
from outlast._server.codes import SignInCodes
from outlast._server.tokenfile import TOKEN_CHARS_MAX, KnownToken, TokenFile, digest_of
from outlast._wire.formats.problems import Problem
from outlast._wire.security.callers import Caller
from outlast.errors import UsageError

log = logging.getLogger("outlast.server")


class Access:
    """The tokens of one server, and who has tried wrong ones.

    A token that was taken out of the file opens nothing any more, at once.
    """

    def __init__(
        self,
        file: TokenFile,
        monotonic: Callable[[], float],
        codes: SignInCodes | None = None,
    ) -> None:
        self._file = file
        self._codes = codes
        self._monotonic = monotonic
        self._failures: dict[str, deque[float]] = {}
        file.has_changed()
        self._tokens: Sequence[KnownToken] = file.known()

    def caller(self, authorization: str | None, address: str) -> Caller:
        """Return who asks.

        Raises:
            Problem: 401 without a token or with a wrong one, 429 after too many wrong ones.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Problem(
                401,
                "token-missing",
                "no API token was sent: send `Authorization: Bearer TOKEN` (commands read it "
                "from OUTLAST_TOKEN); the server's token file holds it",
                headers={"WWW-Authenticate": "Bearer"},
            )
        self._reread()
        digest = digest_of(token.strip()[: TOKEN_CHARS_MAX + 1])
        found: KnownToken | None = None
        for known in self._tokens:  # all of them, whichever fits
            if hmac.compare_digest(known.digest, digest):
                found = known
        if found is not None:
            return Caller(found.name, found.role, found.digest)
        self._count_failure(address)
        raise Problem(
            401,
            "token-wrong",
            "the API token is not valid for this server (commands read it from OUTLAST_TOKEN)",
            headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
        )

    def token_for(self, code: str, address: str) -> tuple[str, Caller]:
        """Return the token that a link's code stands for, and whose it is; the code is spent.

        Raises:
            Problem: 401 for a code that is wrong, spent or too old, 429 after too many wrong ones.
        """
        taken = None if self._codes is None else self._codes.take(code)
        if self._codes is not None and taken:
            return self._codes.token, self.caller(f"Bearer {self._codes.token}", address)
        if taken is None:
            self._count_failure(address)
            raise Problem(401, "code-wrong", "the sign-in link is for another server")
        minutes = f"{limits.SIGN_IN_CODE_SECONDS / 60:g}"
        raise Problem(
            401,
            "code-spent",
            "the sign-in link has expired or was already used: a link works once, within "
            f"{minutes} minutes. Follow the latest link in the terminal",
        )

    def still_opens(self, caller: Caller) -> bool:
        """Whether a caller's token has not been taken out since."""
        self._reread()
        return any(known.digest == caller.digest for known in self._tokens)

    def _reread(self) -> None:
        if not self._file.has_changed():
            return
        try:
            found = self._file.read()
        except UsageError as error:
            log.error("all requests are rejected until the token file is repaired: %s", error)
            self._tokens = ()
            return
        self._tokens = found.tokens
        for fault in found.faults:
            log.error("ignoring an invalid line of the token file: %s", fault)
        if not found.tokens:
            log.error("all requests are rejected: the token file is missing or empty")

    def _count_failure(self, address: str) -> None:
        """Count and log a wrong token; a right one is let in whatever its address has tried."""
        now = self._monotonic()
        since = now - limits.LOGIN_SECONDS
        failures = self._failures
        while failures and (
            next(iter(failures.values()))[-1] < since or len(failures) > _ADDRESSES
        ):
            del failures[next(iter(failures))]
        times = failures.pop(address, None) or deque(maxlen=limits.LOGIN_FAILURES_MAX)
        failures[address] = times  # the latest ones are last
        is_over = len(times) == limits.LOGIN_FAILURES_MAX and times[0] >= since
        if not is_over:
            times.append(now)
            log.warning("invalid API token received from %s", address)
            if len(times) == limits.LOGIN_FAILURES_MAX and times[0] >= since:
                log.warning(
                    "further invalid API tokens from %s will not be logged for a while", address
                )
            return
        seconds = f"{int(limits.LOGIN_SECONDS)}"
        detail = f"too many invalid API tokens from {address}; try again in {seconds} seconds"
        raise Problem(429, "login-limited", detail, headers={"Retry-After": seconds})


_ADDRESSES = 10_000  # that have sent wrong tokens lately, and are remembered
