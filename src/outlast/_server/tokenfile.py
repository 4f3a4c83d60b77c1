"""The file with the tokens of a server: one a line.

The first, made when the file is, is the admin's and stands as it is, for the commands of the same
user read it there; others are kept as hashes:

    o7tk-…                                       (the admin's)
    ann operator sha256:4f…

Invariants:
  * the file is its user's, and readable by its user only, from its first byte on;
  * one process changes it at a time, and puts a whole file in the place of the old one;
  * an unreadable line grants no access, whatever else is in the file.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import stat
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from outlast._wire.security.callers import ROLES, Role
from outlast._wording.names import check_name
from outlast._world import entropy
from outlast.errors import UsageError

ROLE_NAMED: dict[str, Role] = {"viewer": "viewer", "operator": "operator", "admin": "admin"}
TOKEN_CHARS_MAX = 200
_TOKEN_PREFIX = "o7tk-"  # so that scanners for lost secrets can know it
_TOKEN_BITS = 256
_FILE_BYTES_MAX = 1024 * 1024
_HASH = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class KnownToken:
    """A token by its hash."""

    name: str
    role: Role
    digest: bytes


@dataclass(frozen=True, slots=True)
class TokenLines:
    """What the lines of a token file say, and which of them say nothing that can be read."""

    tokens: tuple[KnownToken, ...] = ()
    faults: tuple[str, ...] = ()


def new_token() -> str:
    """Return an unguessable token."""
    return f"{_TOKEN_PREFIX}{entropy(_TOKEN_BITS):064x}"


def digest_of(token: str) -> bytes:
    """Return the hash that stands for a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


class TokenFile:
    """The tokens of one server. `OUTLAST_TOKEN` stands for the admin's where it is set."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, ...] | None = None

    def admin(self) -> str:
        """Return the admin's token; the file is made when it is missing.

        Raises:
            UsageError: it cannot be made or read, others may read it, or it has no such line.
        """
        override = os.environ.get("OUTLAST_TOKEN")
        if override is not None:
            return _checked(override.strip(), "OUTLAST_TOKEN")
        if not os.path.lexists(self._path):
            with self._alone():
                if not os.path.lexists(self._path):
                    self._write([new_token()])
        for line in self._lines():
            if len(line.split()) == 1:
                return _checked(line, f"{self._path}")
        raise UsageError(f"{self._path} has no admin token: add a line that holds only the token")

    def known(self) -> list[KnownToken]:
        """Return every token that opens the server.

        Raises:
            UsageError: a line of the file is none.
        """
        self.admin()
        found = self.read()
        if found.faults:
            raise UsageError(found.faults[0])
        return list(found.tokens)

    def read(self) -> TokenLines:
        """Return what can be read of it; a missing file has nothing.

        Raises:
            UsageError: the file itself cannot be used.
        """
        override = os.environ.get("OUTLAST_TOKEN")
        admins = [] if override is None else [_checked(override.strip(), "OUTLAST_TOKEN")]
        others: list[KnownToken] = []
        faults: list[str] = []
        for line in self._present():
            words = line.split()
            if len(words) == 1:
                if not admins:
                    admins.append(_checked(line, f"{self._path}"))
                continue
            role = ROLE_NAMED.get(words[1]) if len(words) == 3 else None
            algorithm, _, digest = words[-1].partition(":")
            if role is None or algorithm != "sha256" or not _HASH.fullmatch(digest):
                faults.append(
                    f"{self._path}: {words[0]!r} is not followed by a role ({', '.join(ROLES)}) "
                    f"and sha256:…"
                )
                continue
            others.append(KnownToken(words[0], role, bytes.fromhex(digest)))
        tokens = [KnownToken("admin", "admin", digest_of(token)) for token in admins]
        return TokenLines((*tokens, *others), tuple(faults))

    def has_changed(self) -> bool:
        """Whether the file is another than at the last look; a missing one is another too."""
        try:
            found = self._path.lstat()
        except OSError:
            stamp: tuple[int, ...] = ()
        else:
            stamp = (found.st_mtime_ns, found.st_ino, found.st_size, found.st_mode, found.st_uid)
        before, self._stamp = self._stamp, stamp
        return before != stamp

    def add(self, name: str, role: Role) -> str:
        """Return a new token, whose hash is now in the file.

        Raises:
            UsageError: the name is taken or no name, or a line of the file cannot be read.
        """
        check_name("an API token's name", name)
        if name.split() != [name] or name.startswith("#"):
            raise UsageError(f"the name of an API token must be one word, not {name!r}")
        self.admin()
        with self._alone():
            if any(token.name == name for token in self.known()):
                raise UsageError(f"an API token named {name!r} already exists")
            token = new_token()
            self._write([*self._present(), f"{name} {role} sha256:{digest_of(token).hex()}"])
        return token

    def remove(self, name: str) -> tuple[str, ...]:
        """Take a token out of the file: it opens nothing any more.

        Returns what is wrong with lines that stay: they open nothing either.

        Raises:
            UsageError: there is none of this name.
        """
        with self._alone():
            lines = self._present()
            kept = [line for line in lines if len(line.split()) == 1 or line.split()[0] != name]
            if len(kept) == len(lines):
                raise UsageError(f"{self._path} has no API token named {name!r}")
            self._write(kept)
        return self.read().faults

    @contextmanager
    def _alone(self) -> Generator[None]:
        """Keep other processes from changing the file meanwhile."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self._path.with_name(f"{self._path.name}.lock"), flags, 0o600)
        except OSError as error:
            raise UsageError(
                f"cannot write the token file {self._path}: {error.strerror}"
            ) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _present(self) -> list[str]:
        """Return the lines; a missing file, as beside `OUTLAST_TOKEN`, has none."""
        return self._lines() if os.path.lexists(self._path) else []

    def _lines(self) -> list[str]:
        if self._path.is_symlink():
            raise UsageError(
                f"the token file {self._path} is a symbolic link: give the path of the file itself"
            )
        try:
            # A pipe would keep us waiting for a writer.
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise UsageError(f"cannot read the token file {self._path}: {error.strerror}") from None
        try:
            _check_file(self._path, os.fstat(descriptor))
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                text = file.read(_FILE_BYTES_MAX).decode("utf-8", "replace")
        finally:
            os.close(descriptor)
        lines = [line.strip() for line in text.split("\n")]
        return [line for line in lines if line and not line.startswith("#")]

    def _write(self, lines: Sequence[str]) -> None:
        """Replace the file whole: a server that reads it sees the old one or the new one."""
        temporary = self._path.with_name(f"{self._path.name}.new")
        try:
            temporary.unlink(missing_ok=True)
            with _create(temporary) as file:
                file.write("".join(f"{line}\n" for line in lines))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
        except OSError as error:
            raise UsageError(
                f"cannot write the token file {self._path}: {error.strerror}"
            ) from None


def _check_file(path: Path, found: os.stat_result) -> None:
    """Refuse what could be read or changed by others, or is no file."""
    if stat.S_ISDIR(found.st_mode):
        raise UsageError(f"the token file {path} is a directory: give the path of a file")
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"the token file {path} is not a regular file: give the path of one")
    if found.st_uid != os.geteuid():
        raise UsageError(
            f"the token file {path} belongs to user {found.st_uid}, but this process runs as "
            f"user {os.geteuid()}. Run it as the owner of the file, or set OUTLAST_TOKEN"
        )
    if found.st_mode & 0o077:
        raise UsageError(f"other users can read the token file {path}: run `chmod 600 {path}`")
    if found.st_size > _FILE_BYTES_MAX:
        raise UsageError(f"the token file {path} has more than {_FILE_BYTES_MAX:,} bytes")


def _create(path: Path) -> TextIO:
    """Open a new file that only its user may read, from its first byte on."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    return os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8")


def _checked(token: str, where: str) -> str:
    if not 16 <= len(token) <= TOKEN_CHARS_MAX or not token.isascii() or not token.isprintable():
        raise UsageError(
            f"{where}: an API token must have 16 to {TOKEN_CHARS_MAX} printable ASCII characters"
        )
    return token
