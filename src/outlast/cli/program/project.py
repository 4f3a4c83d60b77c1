"""`outlast init`: a small project that works."""

from __future__ import annotations

from pathlib import Path

import click

from outlast._store.sqlite.files.write_ahead_log import make_directory
from outlast.cli.printing import note, safe_line, say
from outlast.errors import StoreError, UsageError

_APP = '''"""A first durable workflow: `outlast run app.py:greet name=Ada`."""

from __future__ import annotations

import asyncio

from outlast import Retry, step, workflow


@step(retry=Retry(attempts=3))
async def compose(name: str) -> str:
    """A step's result is recorded: after a crash it is read, not computed again."""
    return f"Hello, {name}!"


@step
def deliver(text: str) -> int:
    """A plain function runs on a thread of its own."""
    return len(text)


@workflow
async def greet(name: str) -> str:
    """Kill the process while it sleeps and start it again: it continues where it stopped."""
    text = await compose(name)
    await asyncio.sleep(1)
    await deliver(text)
    return text
'''

_README = """# {name}

Durable workflows with [outlast](https://pypi.org/project/outlast/).

```
outlast run app.py:greet name=Ada     # start it and wait for its result
outlast ls                            # what has run
outlast show ID                       # one run and its journal
```

Data is in `.outlast/outlast.db`.
"""

_GITIGNORE = """.outlast/
__pycache__/
"""


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
def init(*, directory: Path) -> None:
    """Create a small project in DIR, which must be new or empty."""
    try:
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise UsageError(
                f"{directory} is not an empty directory, and nothing in it was changed: choose a "
                "new one"
            )
        # The directory also says that here is a project: its database is looked for in it.
        make_directory(directory / ".outlast")
        for name, text in (
            ("app.py", _APP),
            ("README.md", _README.format(name=directory.resolve().name)),
            (".gitignore", _GITIGNORE),
        ):
            (directory / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot create a project in {directory}: {error.strerror}") from None
    except StoreError as error:
        raise UsageError(f"cannot create a project in {directory}: {error}") from None
    say(safe_line(f"{directory}"))
    note(f"next: cd {safe_line(directory)} && outlast run app.py:greet name=Ada")
