"""A secret is given to who asks for it, and to nothing else."""

from __future__ import annotations

import copy
import gc
import json
import pickle
from dataclasses import dataclass

import pydantic
import pytest

from outlast import EncodingError, RegistrationError, Secret, step, workflow
from outlast._codec import adapter_for, capture
from outlast._codec.failures import redacted
from outlast._wording.redaction import REDACTED, know, redact
from outlast.limits import ERROR_TEXT_CHARS_MAX, SECRETS_KNOWN_MAX

WORDS = "correct horse battery"


@dataclass
class Login:
    name: str
    password: object


class Settings(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)

    key: Secret[str]


def test_only_reveal_gives_the_value() -> None:
    secret = Secret(WORDS)

    assert secret.reveal() == WORDS
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>20}", f"{[secret]}"]
    assert not [text for text in shown if "horse" in text]
    assert f"{secret:>20}".strip() == "Secret(***)"
    with pytest.raises(TypeError, match="JSON serializable"):
        json.dumps(secret)


def test_a_secret_is_not_pickled_and_a_copy_of_it_is_itself() -> None:
    secret = Secret(WORDS)

    with pytest.raises(TypeError, match="never stored: read it inside the step"):
        pickle.dumps(Login("me", secret))
    assert copy.deepcopy(Login("me", secret)).password is secret
    assert copy.copy(secret) is secret


@pytest.mark.parametrize(
    ("declared", "value", "path"),
    [
        (object, Secret(WORDS), "$"),
        (object, {"keys": [Secret(WORDS)]}, "$.keys[0]"),
        (str, Secret(WORDS), "$"),
        (int | str | None, Secret(WORDS), "$"),
        (Login, Login("me", Secret(WORDS)), "$.password"),
        (list[Login], [Login("me", (Secret(WORDS),))], "$[0].password[0]"),
    ],
)
def test_a_secret_is_refused_with_its_path_and_with_advice(
    declared: object, value: object, path: str
) -> None:
    with pytest.raises(EncodingError, match=r"this_step\(\)\.resource") as refused:
        adapter_for(declared).encode(value)

    assert refused.value.path == path


@pytest.mark.parametrize(
    "declared", [Secret, Secret[str], list[Secret[str]], Secret[int] | None, Settings]
)
def test_a_type_that_holds_a_secret_is_refused_with_advice(declared: object) -> None:
    with pytest.raises(RegistrationError, match="a Secret is never stored"):
        adapter_for(declared)


def test_steps_and_workflows_cannot_be_declared_with_a_secret() -> None:
    async def charge(key: Secret[str]) -> None: ...

    async def login() -> Secret[str]:
        return Secret(WORDS)

    with pytest.raises(RegistrationError, match=r"key: .*a Secret is never stored"):
        step(charge)
    with pytest.raises(RegistrationError, match=r"return: .*a Secret is never stored"):
        workflow(login)


def test_a_value_is_taken_out_of_texts_while_a_secret_of_it_lives() -> None:
    value = "wrong horse battery"
    first, second = Secret(value), Secret(value.encode())
    assert redact(f"refused {value}!") == f"refused {REDACTED}!"

    del first
    gc.collect()
    assert redact(value) == REDACTED

    del second
    gc.collect()
    assert redact(value) == value


def test_a_value_is_found_as_other_programs_write_it() -> None:
    secret = Secret('pass "word\n\\ü')
    value = secret.reveal()

    for text in (f"{value!r}", json.dumps(value), "http://x/?key=pass%20%22word%0A%5C%C3%BC"):
        assert "word" not in redact(text)


def test_of_two_values_the_longer_is_taken_out_whole() -> None:
    secrets = Secret("battery-"), Secret("battery-staple")

    assert redact("battery-staple") == REDACTED
    del secrets


def test_short_values_are_left_in_texts() -> None:
    secret = Secret("admin")

    assert redact("the admin") == "the admin"
    del secret


def test_only_so_many_values_are_known() -> None:
    many = [know(f"canary number {number}") for number in range(SECRETS_KNOWN_MAX + 1)]

    assert redact("canary number 0!") == "canary number 0!"
    assert redact(f"canary number {SECRETS_KNOWN_MAX}") == REDACTED
    del many


def test_data_inside_of_an_error_is_searched_too() -> None:
    secret = Secret(WORDS)
    value = secret.reveal()
    error = LookupError({"sent": [value, value.encode(), (value,)]}, value)
    vars(error)["request"] = {value: {value}}

    failure = capture(error)

    for data in (failure.args, failure.state):
        assert data is not None
        assert b"horse" not in data
        assert REDACTED.encode() in data
    assert redacted(("a", 1, None, b"\xff")) == ("a", 1, None, b"\xff")


def test_a_value_where_a_long_message_is_cut_leaves_no_half_behind() -> None:
    secret = Secret("0123456789abcdef" * 64)
    half = "x" * (ERROR_TEXT_CHARS_MAX // 2 - 500)

    failure = capture(ValueError(f"{half}{secret.reveal()}{half * 20}{secret.reveal()}{half}"))

    assert "cut" in failure.message
    assert "abcdef" not in failure.message
    assert "abcdef" not in failure.traceback
