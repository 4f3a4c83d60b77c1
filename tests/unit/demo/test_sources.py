"""What the demo's agents are given to read."""

from __future__ import annotations

from outlast.demo.sources import FUNCTIONS, modules, read_module


def test_a_module_is_its_public_functions_with_their_documentation() -> None:
    source = read_module("bisect")

    functions = {function.name: function for function in source.functions}
    assert sorted(functions) == ["bisect_left", "bisect_right", "insort_left", "insort_right"]
    assert functions["insort_right"].signature.startswith("insort_right(a, x, lo=0, hi=None")
    assert functions["insort_right"].summary.startswith("Insert item x in list a")
    assert all("\n" not in function.docstring for function in source.functions)


def test_a_module_without_a_source_has_no_functions() -> None:
    assert read_module("no_such_module").functions == []


def test_each_module_has_enough_to_choose_from() -> None:
    found = modules(100)

    assert len(found) >= 6
    assert found[:2] == modules(2)
    assert all(len(read_module(module).functions) == FUNCTIONS for module in found)


def test_a_long_documentation_ends_with_a_sentence() -> None:
    wrap, *_ = read_module("textwrap").functions

    assert 100 < len(wrap.docstring) <= 300
    assert wrap.docstring.endswith(".")
