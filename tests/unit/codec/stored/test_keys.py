"""Where keys come from, what is refused, and that no text of ours has one."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from outlast.encryption import Keys, encrypted, keys_from_environment, keys_from_file
from outlast.errors import UsageError

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
OLD_TEXT, NEW_TEXT = base64.b64encode(OLD).decode(), base64.b64encode(NEW).decode()


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def make(text: str) -> Path:
        path = tmp_path / "keys"
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        return path

    return make


def test_the_first_key_of_a_file_is_the_current_one(write: Callable[[str], Path]) -> None:
    keys = keys_from_file(write(f"# ours\n\nk2 {NEW_TEXT}\n  k1   {OLD_TEXT}\n"))

    assert keys.current() == "k2"
    assert (keys.key("k2"), keys.key("k1"), keys.key("k0")) == (NEW, OLD, None)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o601])
def test_a_file_that_others_can_read_is_refused(write: Callable[[str], Path], mode: int) -> None:
    path = write(f"k1 {OLD_TEXT}\n")
    path.chmod(mode)

    with pytest.raises(UsageError, match=f"has mode {mode:04o}: other users .* chmod 600"):
        keys_from_file(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no key"),
        ("# nothing\n", "holds no key"),
        (f"{OLD_TEXT}\n", "line 1 of .* is not a key"),
        (f"k1 {OLD_TEXT} more\n", "line 1 of .* is not a key"),
        (f"{OLD_TEXT} k1\n", "line 1 of .* has no valid id"),
        (f"k1 {OLD_TEXT}\nk1 {NEW_TEXT}\n", "line 2 of .*two keys of the id 'k1'"),
        (f"k1 {OLD_TEXT}!\n", "the key is not base64"),
        (f"k1 {base64.b64encode(OLD[:16]).decode()}\n", "has 16 bytes, and needs 32"),
        (f"{'k' * 33} {OLD_TEXT}\n", "has no valid id"),
        ("k1 " + "A" * 70_000, "is larger than"),
    ],
)
def test_what_is_no_key_file_is_refused_and_not_shown(
    write: Callable[[str], Path], text: str, says: str
) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        keys_from_file(write(text))

    assert OLD_TEXT not in f"{caught.value}"
    assert NEW_TEXT not in f"{caught.value}"


def test_a_missing_file_and_a_directory_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the key file .*: No such file"):
        keys_from_file(tmp_path / "none")
    with pytest.raises(UsageError, match=r"cannot read the key file .*directory"):
        keys_from_file(tmp_path)


def test_keys_come_from_a_variable_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTLAST_KEYS", f"k2 {NEW_TEXT},k1 {OLD_TEXT}")

    keys = keys_from_environment()

    assert (keys.current(), keys.key("k1")) == ("k2", OLD)
    with pytest.raises(UsageError, match=r"MISSING is not set"):
        keys_from_environment("MISSING")


def test_no_text_shows_a_key() -> None:
    keys = Keys({"k1": OLD})

    for text in (repr(keys), str(keys), repr(encrypted(keys)), repr(vars(keys))):
        assert OLD_TEXT not in text
        assert repr(OLD) not in text
    assert repr(encrypted(keys)) == "encrypted('k1')"


def test_keys_of_another_length_and_none_at_all_are_refused() -> None:
    with pytest.raises(UsageError, match=r"has 31 bytes: a key has 32"):
        Keys({"k1": OLD[:31]})
    with pytest.raises(UsageError, match=r"there is no key"):
        Keys({})
