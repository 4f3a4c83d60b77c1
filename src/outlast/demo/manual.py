"""The demo's job: agents write a manual of some modules, and a person lets it be published.

What an agent answered and what a step returned is recorded, so the process that runs all this may
die at any moment: the next one goes on behind the last record. Nothing in this file is about
crashes.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal

from outlast import Stream, step, wf, workflow
from outlast.demo import prompts
from outlast.demo.agents import REVISIONS_MAX, Critic, Reader, Writer, shared_budget
from outlast.demo.sources import Source, read_module

MANUAL = "manual"  # the id of the run
MANUAL_FILE = "manual.md"
_AT_ONCE = 2  # modules in the works; the model takes one request at a time


@dataclass(frozen=True, slots=True)
class Page:
    """What the manual says of a module: of one function, as the writer explained it."""

    module: str
    function: str
    text: str
    revisions: int


@dataclass(frozen=True, slots=True)
class Notice:
    """How far a module is: `text` is what was picked or said, the critic's advice, or a file."""

    module: str
    kind: Literal["picked", "wrote", "accept", "revise", "saved"]
    text: str


@dataclass(frozen=True, slots=True)
class Manual:
    """All pages, who has let them be published, and what they have cost."""

    pages: list[Page]
    approved_by: str | None
    usd: Decimal
    tokens: int


notices: Stream[Notice] = Stream("notices", Notice)


@workflow
async def write_manual(modules: list[str], folder: Path) -> Manual:
    """Have each module explained, and ask whether to publish that."""
    turn = asyncio.Semaphore(_AT_ONCE)

    async def take(module: str) -> Page:
        async with turn:
            return await write_page(module, folder)

    pages = await asyncio.gather(*(take(module) for module in modules))
    said = {f"{page.module}.{page.function}": page.text for page in pages}
    answer = await wf.approve("Publish the manual?", detail=said)
    if answer.approved:
        await publish(pages, folder)
    with shared_budget() as spent:
        await spent.refresh()
    return Manual(pages, answer.by if answer.approved else None, spent.usd, spent.tokens)


async def write_page(module: str, folder: Path) -> Page:
    """Part of the manual: have one function of a module explained, until the critic accepts it."""
    reader, writer = wf.actor(Reader, module), wf.actor(Writer, module)
    critic = wf.actor(Critic, module)
    source = await read_source(module)
    choice = await reader.ask(Reader.chat, prompts.choose(source))
    function = source.functions[choice.number - 1]
    await notices.write(Notice(module, "picked", f"{function.name}()"))
    text = await writer.ask(Writer.chat, prompts.explain(source, function))
    await notices.write(Notice(module, "wrote", text))
    revisions = 0
    while revisions < REVISIONS_MAX:
        verdict = await critic.ask(Critic.chat, prompts.review(function, text))
        await notices.write(Notice(module, verdict.action, verdict.advice))
        if verdict.action == "accept":
            break
        revisions += 1
        text = await writer.ask(Writer.chat, prompts.revise(verdict.advice))
        await notices.write(Notice(module, "wrote", text))
    page = Page(module, function.name, text, revisions)
    await save(page, folder)
    await notices.write(Notice(module, "saved", f"{module}.md"))
    return page


@step
def read_source(module: str) -> Source:
    """Read what a module defines."""
    return read_module(module)


@step
def save(page: Page, folder: Path) -> None:
    """Write a page. Executing it twice does no harm: the second time writes the same file."""
    _write(folder / f"{page.module}.md", page_text(page))


@step
def publish(pages: list[Page], folder: Path) -> None:
    """Bind the pages together, which also may be done twice."""
    _write(folder / MANUAL_FILE, "\n".join(page_text(page) for page in pages))


def page_text(page: Page) -> str:
    """Return what a page's file has."""
    return f"## {page.module}.{page.function}\n\n{page.text}\n"


def _write(path: Path, text: str) -> None:
    """Put a whole file in the place of the old one."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".page-")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    Path(name).replace(path)
