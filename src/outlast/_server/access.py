"""Who may do what: tokens and roles, and which pages of which servers a browser may call us from.

A token file has one token a line. The first, made when the file is, is the admin's and stands as it
is, for the commands of the same user read it there; others are kept as hashes:

    o7tk-…                                       (the admin's)
    ann operator sha256:4f…

Invariants:
  * the file is readable by its user only, from its first byte on;
  * tokens are compared by their hashes, in a time that does not depend on them;
  * a token is never in a log, an error or a url.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from outlast import limits
from outlast._execution.starting import check_name
from outlast._wire.callers import ROLES, Caller, Role
from outlast._wire.problems import Problem
from outlast._world import entropy
from outlast.errors import UsageError

log = logging.getLogger("outlast.server")

ROLE_NAMED: dict[str, Role] = {"viewer": "viewer", "operator": "operator", "admin": "admin"}
_TOKEN_PREFIX = "o7tk-"  # so that scanners for lost secrets can know it
_TOKEN_BITS = 256
_TOKEN_CHARS_MAX = 200
_HASH = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class KnownToken:
    """A token by its hash."""

    name: str
    role: Role
    digest: bytes


def new_token() -> str:
    """Return a token that nobody can guess."""
    return f"{_TOKEN_PREFIX}{entropy(_TOKEN_BITS):064x}"


def digest_of(token: str) -> bytes:
    """Return the hash that stands for a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


# ------------------------------------------------------------------------------- files
class TokenFile:
    """The tokens of one server. `OUTLAST_TOKEN` stands for the admin's where it is set."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None

    def admin(self) -> str:
        """Return the admin's token; the file is made when it is missing.

        Raises:
            UsageError: it cannot be made or read, others may read it, or it has no such line.
        """
        override = os.environ.get("OUTLAST_TOKEN")
        if override is not None:
            return _checked(override.strip(), "OUTLAST_TOKEN")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with _create(self._path) as file:
                token = new_token()
                file.write(f"{token}\n")
                return token
        except FileExistsError:
            pass
        except OSError as error:
            raise UsageError(
                f"the token file {self._path} cannot be made: {error.strerror}"
            ) from None
        for line in self._lines():
            if len(line.split()) == 1:
                return _checked(line, f"{self._path}")
        raise UsageError(f"{self._path} has no admin's token: a line with nothing but the token")

    def known(self) -> list[KnownToken]:
        """Return every token that opens the server.

        Raises:
            UsageError: a line of the file is none.
        """
        found = [KnownToken("admin", "admin", digest_of(self.admin()))]
        for line in self._lines() if self._path.exists() else []:
            words = line.split()
            if len(words) == 1:
                continue
            role = ROLE_NAMED.get(words[1]) if len(words) == 3 else None
            algorithm, _, digest = words[-1].partition(":")
            is_hash = algorithm == "sha256" and _HASH.fullmatch(digest)
            if role is None or not is_hash:
                raise UsageError(
                    f"{self._path}: {words[0]!r} is not followed by a role ({', '.join(ROLES)}) "
                    f"and sha256:…"
                )
            found.append(KnownToken(words[0], role, bytes.fromhex(digest)))
        return found

    def has_changed(self) -> bool:
        """Whether the file is another than at the last look."""
        try:
            found = self._path.stat()
        except OSError:
            return False
        before, self._stamp = self._stamp, (found.st_mtime_ns, found.st_ino)
        return before != self._stamp

    def add(self, name: str, role: Role) -> str:
        """Return a new token, whose hash is now in the file.

        Raises:
            UsageError: the name is taken or no name.
        """
        check_name("a token's name", name)
        if len(name.split()) != 1 or name.startswith("#"):
            raise UsageError(f"a token's name is one word: {name!r}")
        self.admin()
        if any(token.name == name for token in self.known()):
            raise UsageError(f"there is a token of the name {name!r} already")
        token = new_token()
        self._write([*self._lines(), f"{name} {role} sha256:{digest_of(token).hex()}"])
        return token

    def remove(self, name: str) -> None:
        """Take a token out of the file: it opens nothing any more.

        Raises:
            UsageError: there is none of this name.
        """
        lines = self._lines()
        kept = [line for line in lines if len(line.split()) == 1 or line.split()[0] != name]
        if len(kept) == len(lines):
            raise UsageError(f"{self._path} has no token of the name {name!r}")
        self._write(kept)

    def _lines(self) -> list[str]:
        if self._path.is_symlink():
            raise UsageError(
                f"the token file {self._path} is a symbolic link: name the file itself"
            )
        if self._path.is_dir():
            raise UsageError(f"the token file {self._path} is a directory: name a file in it")
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError as error:
            raise UsageError(
                f"the token file {self._path} cannot be read: {error.strerror}"
            ) from None
        with os.fdopen(descriptor, encoding="utf-8", errors="replace") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise UsageError(
                    f"others may read the token file {self._path}: run `chmod 600 {self._path}`"
                )
            return [line.strip() for line in file if line.strip() and not line.startswith("#")]

    def _write(self, lines: Sequence[str]) -> None:
        """Replace the file whole: a server that reads it sees the old one or the new one."""
        temporary = self._path.with_name(f"{self._path.name}.new")
        temporary.unlink(missing_ok=True)
        with _create(temporary) as file:
            file.write("".join(f"{line}\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)


def _create(path: Path) -> TextIO:
    """Open a new file that only its user may read, from its first byte on."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    return os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8")


def _checked(token: str, where: str) -> str:
    if not 16 <= len(token) <= _TOKEN_CHARS_MAX or not token.isascii() or not token.isprintable():
        raise UsageError(f"{where}: a token has 16 to {_TOKEN_CHARS_MAX} printable ASCII letters")
    return token


# ----------------------------------------------------------------------------- asking
class Access:
    """The tokens of one server, and who has tried wrong ones.

    A token that was taken out of the file opens nothing any more, at once.
    """

    def __init__(self, file: TokenFile, monotonic: Callable[[], float]) -> None:
        self._file = file
        self._monotonic = monotonic
        self._failures: dict[str, deque[float]] = {}
        file.has_changed()
        self._tokens = file.known()

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
                "send `Authorization: Bearer TOKEN` (commands take it from OUTLAST_TOKEN); "
                "the server's token file has the token",
                headers={"WWW-Authenticate": "Bearer"},
            )
        self._reread()
        digest = digest_of(token.strip()[: _TOKEN_CHARS_MAX + 1])
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
            "this token opens nothing here (commands take it from OUTLAST_TOKEN)",
            headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
        )

    def still_opens(self, caller: Caller) -> bool:
        """Whether a caller's token has not been taken out since."""
        self._reread()
        return any(known.digest == caller.digest for known in self._tokens)

    def _reread(self) -> None:
        if self._file.has_changed():
            try:
                self._tokens = self._file.known()
            except UsageError as error:
                # Half-written by hand, perhaps: who could come in before still can.
                log.warning("the tokens were not read again: %s", error)

    def _count_failure(self, address: str) -> None:
        """Count a wrong token; a right one is let in whatever others at its address have tried."""
        now = self._monotonic()
        since = now - limits.LOGIN_SECONDS
        for known in [a for a, times in self._failures.items() if times[-1] < since]:
            del self._failures[known]
        times = self._failures.setdefault(address, deque(maxlen=limits.LOGIN_FAILURES_MAX))
        is_over = len(times) == limits.LOGIN_FAILURES_MAX and times[0] >= since
        times.append(now)
        if is_over:
            seconds = f"{int(limits.LOGIN_SECONDS)}"
            detail = f"too many wrong tokens from {address}; wait {seconds} seconds"
            raise Problem(429, "login-limited", detail, headers={"Retry-After": seconds})
