"""Source lines as they stand in records."""

from __future__ import annotations

import sys

from outlast._wording.source_lines import place_of_frame


def test_equal_code_of_two_files_has_two_places() -> None:
    source = "def place():\n    return place_of_frame(sys._getframe(0))\n"
    found: list[object] = []
    for file in ("shop/orders.py", "shop/returns.py"):
        names: dict[str, object] = {"place_of_frame": place_of_frame, "sys": sys}
        exec(compile(source, file, "exec"), names)  # noqa: S102  # our own text
        place = names["place"]
        assert callable(place)
        found.append(place())

    assert found == ["shop/orders.py:2", "shop/returns.py:2"]
