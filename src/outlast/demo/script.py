"""What is said where the real model cannot be had: answers that fit the questions, at its pace."""

from __future__ import annotations

import json
import zlib

from outlast.demo.prompts import CRITIC, READER
from outlast.demo.sources import FUNCTIONS
from outlast.testing import Asked, Says, ScriptedModel

_TOKENS_PER_SECOND = 60.0
_DELAY_SECONDS = 0.3  # until the first token
_WORDS_MAX = 40


def scripted_model() -> ScriptedModel:
    """Return the model that stands for the real one."""
    return ScriptedModel(_answer, name="scripted")


def _answer(asked: Asked) -> Says:
    chance = zlib.crc32(asked.prompt.encode())  # the same question has the same answer
    if READER in asked.instructions:
        return _says(json.dumps({"number": 1 + chance % FUNCTIONS}))
    if CRITIC in asked.instructions:
        action = "revise" if chance % 2 else "accept"
        return _says(json.dumps({"action": action, "advice": "make it shorter"}))
    if asked.turn > 1:
        return _says("In short, it does what its documentation says; a script says no more.")
    return _says(_quoted(asked.prompt))


def _quoted(prompt: str) -> str:
    """Answer in the words of the documentation that the prompt has."""
    documented = prompt.partition("documented like this:")[2].partition("\n\nSay in")[0]
    words = " ".join(documented.split()[:_WORDS_MAX])
    return f'A script cannot explain it, and quotes its documentation: "{words}"'


def _says(text: str) -> Says:
    return Says(text, tokens_per_second=_TOKENS_PER_SECOND, delay=_DELAY_SECONDS)
