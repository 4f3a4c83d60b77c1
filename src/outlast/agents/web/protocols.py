"""The protocols of web pages that agents bring to a server, each loaded when it is first spoken."""

from __future__ import annotations

from importlib import import_module

from outlast._wire.live.protocols import Encoding, MakeEncoder, register_encoding
from outlast.errors import UsageError


def register_protocols() -> None:
    """Make AG-UI and the protocol of the Vercel AI SDK known in this process."""
    register_encoding("ag-ui", Encoding(_agui))
    register_encoding(
        "vercel-ai", Encoding(_vercel, headers=(("x-vercel-ai-ui-message-stream", "v1"),))
    )


def _vercel() -> MakeEncoder:
    # It takes a third of a second, which most programs with agents have no use for.
    make: MakeEncoder = import_module("outlast.agents.web.vercel").VercelEncoder
    return make


def _agui() -> MakeEncoder:
    try:
        make: MakeEncoder = import_module("outlast.agents.web.agui").AgUiEncoder
    except ImportError as error:
        raise UsageError(
            f"the protocol 'ag-ui' needs ag-ui-protocol 0.1.19 or later: pip install -U "
            f"'outlast[agents]' ({error})"
        ) from None
    return make
