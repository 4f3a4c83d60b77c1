"""`outlast version`."""

from __future__ import annotations

import platform
from importlib import metadata

import apsw
import click

from outlast.cli.places import json_option
from outlast.cli.printing import as_json, say


def own_version() -> str:
    """Return the installed version of outlast."""
    try:
        return metadata.version("outlast")
    except metadata.PackageNotFoundError:
        return "0 (not installed)"


@click.command()
@json_option
def version(*, as_data: bool) -> None:
    """Show the versions of what runs here."""
    versions = {
        "outlast": own_version(),
        "python": platform.python_version(),
        "sqlite": apsw.sqlite_lib_version(),
    }
    if as_data:
        say(as_json(versions))
    else:
        say(
            f"outlast {versions['outlast']} (Python {versions['python']}, "
            f"SQLite {versions['sqlite']})"
        )
