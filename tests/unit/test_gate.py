"""`.ci/run` runs every part that `python3 dev test` has."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_gate_runs_every_part_on_the_base_python_and_behaviour_on_all() -> None:
    parts: tuple[str, ...] = runpy.run_path(str(ROOT / "dev"))["TEST_PARTS"]

    jobs = re.findall(r"([\w,]+)@\$(base|version)", (ROOT / ".ci" / "run").read_text())
    here = [part for only, where in jobs if where == "base" for part in only.split(",")]
    everywhere = [part for only, where in jobs if where == "version" for part in only.split(",")]

    assert sorted([*here, "replay"]) == sorted(parts)
    assert sorted(everywhere) == ["conformance", "replay", "setup", "unit"]
