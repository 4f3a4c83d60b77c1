"""The programs that pages of the documentation show."""

from __future__ import annotations

import re
from pathlib import Path

_HOWTO = Path(__file__).resolve().parents[2] / "docs" / "howto"
_SCRIPT = re.compile(r"^```jsx?\n// (\S+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_PYTHON = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def programs_of(page: str) -> list[str]:
    """Return the Python of a how-to, block by block."""
    return _PYTHON.findall((_HOWTO / f"{page}.md").read_text(encoding="utf-8"))


def scripts_of(page: str) -> dict[str, str]:
    """Return the JavaScript of a how-to by the file names that its first lines give."""
    return dict(_SCRIPT.findall((_HOWTO / f"{page}.md").read_text(encoding="utf-8")))
