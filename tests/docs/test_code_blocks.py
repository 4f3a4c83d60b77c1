"""What the documentation says is true: its programs run, its links lead somewhere, nothing is
missing from the reference.

How a page marks its blocks is described in CONTRIBUTING.md, under "Documentation".
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

import outlast
from outlast import limits
from outlast.cli import main as cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
REFERENCE = "\n".join(
    page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs/reference").rglob("*.md"))
)
RUN_SECONDS_MAX = 120

FENCE = re.compile(r"^(?P<indent>\s*)(?P<ticks>`{3,})(?P<language>[\w-]*)")
NO_RUN = re.compile(r"<!--\s*no-run:\s*\S.*-->")
FILE = re.compile(r"<!--\s*file:\s*(?P<name>[\w./-]+)\s*-->")
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)[^)]*\)")


@dataclass(frozen=True, slots=True)
class Block:
    language: str
    line: int  # of its first line of text, from 1
    text: str
    marker: str  # the last line before it that is not blank

    @property
    def runs(self) -> bool:
        return self.language in {"python", "console"} and not NO_RUN.search(self.marker)

    @property
    def file(self) -> str | None:
        match = FILE.search(self.marker)
        return match["name"] if match else None


@dataclass(frozen=True, slots=True)
class Program:
    """One thing that a page tells its reader to run."""

    line: int
    arguments: list[str]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_of_the_page_runs(page: Path, tmp_path: Path) -> None:
    blocks = [block for block in blocks_of(page.read_text(encoding="utf-8")) if block.runs]

    for program in written_programs(page.stem, blocks, tmp_path):
        done = subprocess.run(
            program.arguments,
            cwd=tmp_path,
            env=reader_environment(tmp_path),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS_MAX,
            check=False,
        )

        assert done.returncode == 0, (
            f"{page}:{program.line}: {shlex.join(program.arguments)} ended with"
            f" {done.returncode}\n{done.stdout}\n{done.stderr}"
        )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_the_page_leads_somewhere(page: Path) -> None:
    broken: list[str] = []
    for target in links_of(page.read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        if not linked.exists():
            broken.append(f"{target}: there is no {linked}")
        elif anchor and anchor not in anchors_of(linked.read_text(encoding="utf-8")):
            broken.append(f"{target}: {linked} has no heading #{anchor}")

    assert broken == []


def test_every_command_is_in_the_reference() -> None:
    missing = [name for name in command_names(cli, "outlast") if not mentioned(name)]

    assert missing == []


def test_every_public_name_is_in_the_reference() -> None:
    missing = [name for name in outlast.__all__ if not mentioned(name)]

    assert missing == []


def test_every_limit_is_in_the_reference() -> None:
    missing = [name for name in vars(limits) if name.isupper() and not mentioned(name)]

    assert missing == []


PAGE = """\
# First steps

```python
x = 1
```

<!-- no-run: it needs a network -->
```python
y = 2
```

<!-- file: refund.py -->

```python
z = 3
```

   ```console
   $ outlast --help
   usage
   $ ls
   ```

See [the other](other.md#its-heading), `[not](this.md)` and [that](https://example.org).
"""


def test_a_page_is_read_as_its_reader_does(tmp_path: Path) -> None:
    blocks = blocks_of(PAGE)

    assert [(block.language, block.line, block.runs, block.file) for block in blocks] == [
        ("python", 4, True, None),
        ("python", 9, False, None),
        ("python", 15, True, "refund.py"),
        ("console", 19, True, None),
    ]
    assert links_of(PAGE) == ["other.md#its-heading"]
    assert anchors_of(PAGE) == {"first-steps"}

    programs = written_programs("first", [block for block in blocks if block.runs], tmp_path)

    assert [program.line for program in programs] == [15, 4, 19]
    assert programs[-1].arguments[-1] == "--help"
    assert (tmp_path / "refund.py").read_text(encoding="utf-8").split() == ["z", "=", "3"]
    # The line numbers of a traceback are those of the page.
    assert (tmp_path / "page_first.py").read_text(encoding="utf-8") == "\n\n\nx = 1\n"


def blocks_of(markdown: str) -> list[Block]:
    blocks: list[Block] = []
    lines = enumerate(markdown.splitlines(), start=1)
    marker = ""
    for number, line in lines:
        opening = FENCE.match(line)
        if opening is None:
            marker = line if line.strip() else marker
            continue
        body: list[str] = []
        for _, inner in lines:
            if inner.strip() == opening["ticks"]:
                break
            body.append(inner)
        text = textwrap.dedent("\n".join(body)) + "\n"
        blocks.append(Block(opening["language"], number + 1, text, marker))
        marker = ""
    return blocks


def written_programs(stem: str, blocks: list[Block], folder: Path) -> list[Program]:
    """Write the page's files below `folder`; return what to run there, in order."""
    programs: list[Program] = []
    whole: list[str] = []
    first_line = 0
    for block in blocks:
        if block.language != "python":
            continue
        if block.file is None:
            first_line = first_line or block.line
            # Blank lines keep each line at its number on the page.
            whole += [""] * (block.line - 1 - len(whole))
            whole += block.text.splitlines()
        else:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
            programs.append(Program(block.line, [sys.executable, block.file]))
    if whole:
        name = "page_" + re.sub(r"\W", "_", stem) + ".py"
        (folder / name).write_text("\n".join(whole) + "\n", encoding="utf-8")
        programs.append(Program(first_line, [sys.executable, name]))
    for block in blocks:
        if block.language == "console":
            programs += commands_of(block)
    return programs


def commands_of(block: Block) -> Iterator[Program]:
    outlast_script = str(Path(sys.executable).with_name("outlast"))
    for offset, line in enumerate(block.text.splitlines()):
        if line.startswith("$ outlast "):
            arguments = shlex.split(line.removeprefix("$ outlast "), comments=True)
            yield Program(block.line + offset, [outlast_script, *arguments])


def reader_environment(home: Path) -> dict[str, str]:
    """A reader's machine: no settings of this one's, and a home of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OUTLAST_")}
    path = str(Path(sys.executable).parent) + os.pathsep + kept.get("PATH", os.defpath)
    return {**kept, "HOME": str(home), "PATH": path}


def links_of(markdown: str) -> list[str]:
    """Targets inside this repository."""
    prose = re.sub(r"`[^`\n]*`", "", without_blocks(markdown))
    targets = [match["target"] for match in LINK.finditer(prose)]
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def anchors_of(markdown: str) -> set[str]:
    """The names that a heading can be linked by, made as code hosts make them."""
    headings: list[str] = re.findall(r"^#+\s+(.*?)\s*$", without_blocks(markdown), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def without_blocks(markdown: str) -> str:
    return re.sub(r"^\s*(`{3,}).*?^\s*\1\s*$", "", markdown, flags=re.MULTILINE | re.DOTALL)


def command_names(command: click.Command, path: str) -> Iterator[str]:
    if not isinstance(command, click.Group):
        yield path
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        if found is not None and not found.hidden:
            yield from command_names(found, f"{path} {name}")


def mentioned(name: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", REFERENCE) is not None
