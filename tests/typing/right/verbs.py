"""An engine and a client have the same verbs."""

from __future__ import annotations

from outlast import Engine
from outlast._wire.verbs import Verbs
from outlast.client import Client


def both(engine: Engine, client: Client) -> tuple[Verbs, Verbs]:
    return engine, client
