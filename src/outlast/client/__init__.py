"""The verbs of an engine, over HTTP.

async with Client("http://127.0.0.1:8787") as client:
    run = await client.start(checkout("7", 999), id="order-7")
    label = await run.result()
"""

from __future__ import annotations

from outlast.client.actors import RemoteActor
from outlast.client.blocking import SyncActor, SyncClient, SyncRun
from outlast.client.looking import BulkDone
from outlast.client.remote import Client, RemoteRun
from outlast.errors import ServerRefused

__all__ = [
    "BulkDone",
    "Client",
    "RemoteActor",
    "RemoteRun",
    "ServerRefused",
    "SyncActor",
    "SyncClient",
    "SyncRun",
]
