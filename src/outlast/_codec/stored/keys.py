"""Keys that stored bodies are encrypted with: from a file, a variable, or a program.

Invariants:
  * no text of ours holds a key: neither errors nor `repr`; what is known of one is redacted;
  * a file of keys that others than its owner can read is refused.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, final

from typing_extensions import override

from outlast.errors import UsageError
from outlast.secret import Secret

KEY_BYTES = 32
KEY_FILE_BYTES_MAX = 64 * 1024  # a thousand keys
KEY_ID_CHARS_MAX = 32  # it is stored with every body
FORMAT = "one key a line, `ID KEY`: an id and 32 bytes in base64; the first key is the current one"
_ID = re.compile(rf"[A-Za-z0-9._-]{{1,{KEY_ID_CHARS_MAX}}}")


class KeySource(Protocol):
    """Gives the keys: implement it to fetch them from a key management service.

    It is asked when a store is opened, and in a thread of the store when a body names a key that
    was not asked for before. What it gives is kept in memory until the store is closed.
    """

    def current(self) -> str:
        """Return the id of the key to encrypt with."""
        ...

    def key(self, id: str, /) -> bytes | None:  # the word of the domain
        """Return the 32 bytes of a key, or None if there is none of this id."""
        ...


@final
class Keys(KeySource):
    """Keys in memory, by id; the first one encrypts, all of them decrypt.

    Raises:
        UsageError: there is none, an id is not of the form, or a key is not of 32 bytes.
    """

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        if not keys:
            raise UsageError("there is no key: give at least one")
        for name, key in keys.items():
            check_key_id(name)
            if len(key) != KEY_BYTES:
                raise UsageError(f"key {name!r} has {len(key)} bytes: a key has {KEY_BYTES}")
        # As a secret, its text is also taken out of errors and logs of other code.
        self._keys = {name: Secret(base64.b64encode(key).decode()) for name, key in keys.items()}
        self._current = next(iter(keys))

    @override
    def current(self) -> str:
        """Return the id of the first key."""
        return self._current

    @override
    def key(self, id: str, /) -> bytes | None:
        """Return a key, or None if there is none of this id."""
        found = self._keys.get(id)
        return None if found is None else base64.b64decode(found.reveal())

    @override
    def __repr__(self) -> str:
        return f"Keys({', '.join(map(repr, self._keys))})"


def keys_from_file(path: str | os.PathLike[str]) -> Keys:
    """Return the keys of a file: one key a line, `ID KEY`, the current one first.

    A key is 32 random bytes in base64. Empty lines and lines that begin with `#` are ignored.
    `outlast db new-key FILE` makes such a file, and adds a key to one.

    Raises:
        UsageError: it cannot be read, others than its owner can read it, or it holds no keys.
    """
    return _parsed(read_key_file(Path(path)), f"{os.fspath(path)}")


def read_key_file(path: Path) -> str:
    """Return the text of a file of keys, if only its owner can read it.

    Raises:
        UsageError: it cannot be read, or others can.
    """
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise UsageError(f"{path} is not a regular file")
            if found.st_mode & 0o077:
                raise UsageError(
                    f"{path} has mode {stat.S_IMODE(found.st_mode):04o}: other users could read "
                    f"the keys in it. Run: chmod 600 {path}"
                )
            data = file.read(KEY_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(f"cannot read the key file {path}: {error.strerror}") from None
    if len(data) > KEY_FILE_BYTES_MAX:
        raise UsageError(f"{path} is not a key file: it is larger than {KEY_FILE_BYTES_MAX} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not a key file: {FORMAT}") from None


def keys_from_environment(name: str = "OUTLAST_KEYS") -> Keys:
    """Return the keys in an environment variable, in the form of a key file.

    Commas may stand for the ends of lines: `k2 KEY,k1 KEY`.

    Raises:
        UsageError: it is not set, or holds no keys.
    """
    text = os.environ.get(name)
    if not text:
        raise UsageError(f"the environment variable {name} is not set: it should hold keys")
    return _parsed(text.replace(",", "\n"), f"the environment variable {name}")


def _parsed(text: str, where: str) -> Keys:
    keys: dict[str, bytes] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        place = f"line {number} of {where}"
        if len(words) != 2:
            raise UsageError(f"{place} is not a key: {FORMAT}")
        check_key_id(words[0], place)
        if words[0] in keys:
            raise UsageError(f"{place}: there are two keys of the id {words[0]!r}")
        keys[words[0]] = _key_of(words[1], place)
    if not keys:
        raise UsageError(f"{where} holds no key: {FORMAT}")
    return Keys(keys)


def check_key_id(name: str, place: str = "") -> None:
    """Refuse a name that no key can have.

    Raises:
        UsageError: it is not of the form.
    """
    if not _ID.fullmatch(name):
        # Not shown: somebody may have put a key where its id belongs.
        raise UsageError(
            f"{place or 'a key'} has no valid id: 1 to {KEY_ID_CHARS_MAX} letters, digits, dots, "
            "dashes and underscores"
        )


def _key_of(text: str, place: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise UsageError(f"{place}: the key is not base64") from None
    if len(key) != KEY_BYTES:
        raise UsageError(f"{place}: the key has {len(key)} bytes, and needs {KEY_BYTES}")
    return key
