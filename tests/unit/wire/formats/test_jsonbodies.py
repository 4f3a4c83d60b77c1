"""Counting the nodes of a JSON text, and reading one."""

from __future__ import annotations

import json

import msgspec
import pytest

from outlast import limits
from outlast._shapes import is_dict, is_list
from outlast._wire.formats import jsonbodies
from outlast._wire.formats.jsonbodies import _count, _decode, json_of
from outlast._wire.formats.problems import Problem

DOCUMENTS: list[object] = [
    1,
    [],
    {},
    [{}, [], [[]], {"a": {}}],
    {"a": [1, 2, {"b": None}], "c,[{:": 'x"y\\'},
    ["\\", '"', '\\"', "a\\\\", ",,,", "[{}]", ""],
    {"": "", '"': ":", "\\": ["\\\\", "é,"]},
]


def nodes_in(value: object) -> int:
    if is_dict(value):
        return 1 + sum(map(nodes_in, value.values()))
    return 1 + sum(map(nodes_in, value)) if is_list(value) else 1


def keys_in(value: object) -> int:
    if is_dict(value):
        return len(value) + sum(map(keys_in, value.values()))
    return sum(map(keys_in, value)) if is_list(value) else 0


@pytest.mark.parametrize("size", [*range(1, 20), 1 << 20])
@pytest.mark.parametrize("indent", [None, 1])
def test_nodes_and_keys_are_counted_as_they_are(
    monkeypatch: pytest.MonkeyPatch, size: int, indent: int | None
) -> None:
    monkeypatch.setattr(jsonbodies, "_PIECE_BYTES", size)
    for document in DOCUMENTS:
        text = json.dumps(document, indent=indent, ensure_ascii=False).encode()
        counts = _count(text)
        assert counts.nodes == nodes_in(document), text
        assert counts.keys == keys_in(document), text


def test_a_body_of_too_many_nodes_is_refused_with_advice() -> None:
    with pytest.raises(Problem) as refused:
        json_of(b"[" + b",".join([b"{}"] * limits.HTTP_NODES_MAX) + b"]")
    assert (refused.value.status, refused.value.kind) == (422, "too-many-nodes")
    assert "one string" in refused.value.detail


def test_as_many_nodes_as_may_be_are_taken() -> None:
    many: list[object] = [{}] * (limits.HTTP_NODES_MAX - 1)
    assert json_of(json.dumps(many).encode()) == many


def test_texts_full_of_separators_are_no_nodes() -> None:
    text = {"text": ",[{" * limits.HTTP_NODES_MAX}
    assert json_of(json.dumps(text).encode()) == text


@pytest.mark.parametrize("body", [b'{"a":1,"a":2}', b'[{"b":{"a":1,"\\u0061":2}}]'])
def test_a_key_given_twice_is_refused(body: bytes) -> None:
    with pytest.raises(Problem, match="twice"):
        json_of(body)


@pytest.mark.parametrize("levels", [limits.DEPTH_MAX + 2, limits.DEPTH_MAX + 3, 5_000, 100_000])
def test_nesting_ends_where_a_value_of_the_limit_is_one_argument(levels: int) -> None:
    body = b"[" * levels + b"1" + b"]" * levels
    if levels > limits.DEPTH_MAX + 2:
        with pytest.raises(Problem, match="nested"):
            json_of(body)
    else:
        json_of(body)


def test_long_numbers_are_read_as_they_are() -> None:
    texts = ["1.2345678901234567e-300", "-0.0", "5e-324", "1.7976931348623157e308", "0.1", "1e0"]
    assert _decode(f"[{','.join(texts)}]".encode()) == [float(text) for text in texts]
    for text in ("1e309", "-1e999"):
        with pytest.raises(msgspec.ValidationError, match="out of range"):
            _decode(f'{{"a": [{text}]}}'.encode())
