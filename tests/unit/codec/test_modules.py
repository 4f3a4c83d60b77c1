"""What stored data calls a module."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
from outlast._codec import capture, name_of_class

class Declined(Exception):
    pass

print(name_of_class(Declined), capture(Declined()).module)
"""


def test_a_script_counts_as_its_files_module(tmp_path: Path) -> None:
    program = tmp_path / "shop.py"
    program.write_text(PROGRAM)

    run = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    imported = subprocess.run(
        [sys.executable, "-c", "import shop"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert run.stdout == imported.stdout == "('shop', 'Declined') shop\n"
