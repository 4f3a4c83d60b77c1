"""Tracebacks in a terminal: one's own frames, those of libraries folded."""

from __future__ import annotations

from outlast.cli.printing import as_json
from outlast.cli.tracebacks import folded

TRACEBACK = """\
Traceback (most recent call last):
  File "/opt/venv/lib/python3.12/site-packages/outlast/_execution/bodies.py", line 9, in call
    return fn()
  File "/srv/shop/app.py", line 10, in charge
    return client.post(url)
           ^^^^^^^^^^^^^^^^
  File "/opt/venv/lib/python3.12/site-packages/httpx/_client.py", line 1, in post
    return self.send()
  File "/usr/lib/python3.12/socket.py", line 2, in connect
    raise error
OSError: no route
"""


def test_frames_of_libraries_are_folded_and_ones_own_stay() -> None:
    assert folded(TRACEBACK).splitlines() == [
        "Traceback (most recent call last):",
        "  ... 1 frame of libraries",
        '  File "/srv/shop/app.py", line 10, in charge',
        "    return client.post(url)",
        "           ^^^^^^^^^^^^^^^^",
        "  ... 2 frames of libraries",
        "OSError: no route",
    ]


def test_frames_of_a_checkout_are_folded_too() -> None:
    text = """\
  File "/home/ann/outlast/src/outlast/_execution/bodies/running.py", line 9, in run
    return fn()
  File "/home/ann/outlast/app.py", line 10, in charge
    raise error
"""

    assert folded(text).splitlines()[0] == "  ... 1 frame of libraries"
    assert "app.py" in folded(text)


def test_a_text_without_frames_stays() -> None:
    assert folded("ValueError: no\n  indented") == "ValueError: no\n  indented"


def test_a_dict_is_printed_as_one_whatever_its_keys() -> None:
    assert as_json({(1, 2): {"a": [{None: 1}]}}) == '{"[1, 2]": {"a": [{"null": 1}]}}'
