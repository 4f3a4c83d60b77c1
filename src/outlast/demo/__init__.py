"""`outlast demo`: agents that are killed at work, and go on. `manual.py` is what to read first."""

from __future__ import annotations

from importlib.util import find_spec

from outlast.errors import UsageError

if find_spec("pydantic_ai") is None or find_spec("openai") is None:
    raise UsageError(
        "the demo needs pydantic-ai and the client of OpenAI: pip install "
        "'pydantic-ai-slim[openai]', or run `python3 dev demo` in a checkout"
    )
