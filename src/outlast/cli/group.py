"""The group of commands: their names and one-line helps, and the way out of each.

Exit codes: 0 ok, 1 the run failed or is parked, or there are findings, or the output cannot be
written, 2 usage, 3 not found, 4 the store or its owner cannot be reached, 5 timed out, 130
interrupted.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
import warnings
from collections.abc import Sequence

import click
from typing_extensions import override

from outlast import errors
from outlast._built import BUILT
from outlast.cli.printing import OutputError, complain, log_harmlessly, safe_line

# name: (module of outlast, attribute, help)
COMMANDS: dict[str, tuple[str, str, str]] = {
    "init": ("cli.program.project", "init", "Create a small project."),
    "demo": (
        "demo.command",
        "command",
        "Run agents on a sample job, kill their server, and watch them go on.",
    ),
    "dev": ("cli.server.serving", "dev", "Serve a program and reload it when a file changes."),
    "serve": ("cli.server.serving", "serve", "Run an engine and serve it over HTTP."),
    "token": ("cli.server.tokens", "token", "Manage API tokens."),
    "run": ("cli.runs.run", "run", "Start a workflow and wait for its result."),
    "ls": (
        "cli.runs.inspect",
        "ls",
        "List runs, for example `status:failed since:1h`.",
    ),
    "show": ("cli.runs.inspect", "show", "Show one run."),
    "why": ("cli.runs.inspect", "why", "Explain what a run is waiting for, or how it ended."),
    "watch": ("cli.runs.watching", "watch", "Show a run's progress until it ends."),
    "tail": ("cli.runs.inspect", "tail", "Follow a run's journal, or one of its streams."),
    "logs": ("cli.runs.logs", "logs", "Show the logs of runs, steps and the engine."),
    "signal": ("cli.runs.sending", "signal", "Send a signal to a run."),
    "update": ("cli.runs.updating", "update", "Send an update to a run and print the answer."),
    "cancel": (
        "cli.runs.sending",
        "cancel",
        "Request cancellation of a run; its code can clean up.",
    ),
    "terminate": (
        "cli.runs.sending",
        "terminate",
        "End a run immediately, without running its code.",
    ),
    "pause": ("cli.runs.steering", "pause", "Pause a run."),
    "resume": ("cli.runs.steering", "resume", "Resume a paused or parked run."),
    "discard": (
        "cli.runs.steering",
        "discard",
        "Discard the message that a run cannot read.",
    ),
    "retry": ("cli.runs.steering", "retry", "Retry a failed run."),
    "fork": ("cli.runs.forking", "fork", "Start a new run from a point in another run's history."),
    "diff": ("cli.runs.comparing", "diff", "Compare two runs."),
    "audit": ("cli.server.audit", "audit", "List actions by callers and users."),
    "inbox": ("cli.runs.inbox", "inbox", "List pending approvals and tokens."),
    "approve": ("cli.runs.inbox", "approve", "Approve a request."),
    "reject": ("cli.runs.inbox", "reject", "Reject a request."),
    "answer": ("cli.runs.inbox", "answer", "Answer a token with a value."),
    "agent": (
        "cli.agents.commands",
        "agent",
        "Chat with agents, and inspect their conversations.",
    ),
    "actor": ("cli.runs.actors", "actor", "Inspect, message and stop actors."),
    "topic": ("cli.runs.topics", "topic", "Publish to a topic."),
    "bench": ("bench", "command", "Measure durable execution on this machine."),
    "doctor": (
        "cli.server.doctor",
        "doctor",
        "Check the machine, the disk and the database.",
    ),
    "ready": ("cli.server.ready", "ready", "Check whether a server is ready."),
    "build": (
        "cli.program.build",
        "build",
        "Package a program as an executable, image or unit.",
    ),
    "db": ("cli.database.commands", "db", "Manage a database."),
    "version": ("cli.program.version", "version", "Show version information."),
}

# What is for making programs, not for running them: a built executable does without.
_AT_HOME_ONLY = frozenset(("init", "demo", "dev", "bench", "build"))


_NAME = "outlast" if BUILT is None else BUILT.name


def commands_here() -> dict[str, tuple[str, str, str]]:
    """Return the commands that there are in this process."""
    if BUILT is None:
        return COMMANDS
    return {name: found for name, found in COMMANDS.items() if name not in _AT_HOME_ONLY}


# Errors and exit codes, the first match counts.
_EXITS: tuple[tuple[type[BaseException], int], ...] = (
    (errors.RunNotFound, 3),
    (errors.TokenNotFound, 3),
    (errors.UnknownWorkflow, 3),
    (errors.UnknownActor, 3),
    (errors.AskTimeout, 5),
    (errors.UsageError, 2),
    (errors.EncodingError, 2),
    (errors.DecodingError, 2),
    (errors.StoreError, 4),
    (errors.EngineClosed, 4),
    (errors.ServerRefused, 4),
    (errors.WaitTimeout, 5),
)


def _where(name: str) -> str:
    return " in a built executable" if name in COMMANDS else ""


def exit_code_of(error: BaseException) -> int:
    """Return the exit code that an error of ours means."""
    return next((code for kind, code in _EXITS if isinstance(error, kind)), 1)


class CommandGroup(click.Group):
    """Imports a command when it is asked for, and turns errors into messages and exit codes."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(commands_here())

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = commands_here().get(cmd_name)
        if found is None:
            return None
        place, attribute, _ = found
        module = f"outlast.{place}"
        try:
            # By name, since importing every command would import the engine to print a help.
            command: object = getattr(importlib.import_module(module), attribute, None)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
            command = None
        if not isinstance(command, click.Command):
            raise errors.NotSupported(f"`outlast {cmd_name}`")
        return command

    @override
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name and name not in commands_here() and not name.startswith("-"):
            raise click.UsageError(
                f"there is no command {safe_line(name)!r}{_where(name)}; `{_NAME} --help` lists "
                "the commands",
                ctx,
            )
        return super().resolve_command(ctx, args)

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in commands_here().items()])

    def __call__(self, *args: object, **kwargs: object) -> object:
        """Run the command of `sys.argv` and end the process with its exit code."""
        _open_closed_streams()
        sys.exit(run_command(self, sys.argv[1:]))


def _open_closed_streams() -> None:
    """Open to nothing what the caller has closed of input, output and errors.

    A socket or a database would get its number otherwise, and what is printed with it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number
            setattr(sys, name, os.fdopen(number, mode))


def run_command(group: click.Group, args: Sequence[str]) -> int:
    """Run a command line and return its exit code; messages are on stderr."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            # A terminal that cannot show a letter must not end a command.
            reconfigure(errors="backslashreplace")
    log_harmlessly()
    try:
        result: object = group.main(args=list(args), prog_name=_NAME, standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as done:
        return done.exit_code
    except (click.Abort, KeyboardInterrupt):
        # What was about to begin is dropped; Python would complain that it never ran.
        warnings.simplefilter("ignore", RuntimeWarning)
        complain("interrupted")
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except errors.OutlastError as error:  # before OSError: a wait that ran out is a TimeoutError
        complain(f"{error}")
        return exit_code_of(error)
    except BrokenPipeError:
        _discard_output()  # whoever read it has seen enough
        return 0
    except OSError as error:
        if not _is_of_output(error):
            raise
        _discard_output()
        complain(f"cannot write the output: {error.strerror or error}")
        return 1
    except UnicodeEncodeError as error:
        # Bytes of the command line that are not UTF-8, where no verb has looked at them before.
        found = f"{error.object}"[:50]
        complain(f"{found!r} is not valid text: it contains bytes that are not UTF-8")
        return 2
    return result if isinstance(result, int) else 0


def _is_of_output(error: OSError) -> bool:
    """Whether standard output cannot be written: what is kept of it fails each time.

    Unbuffered nothing is kept: click's own output is known by an error that files do not name.
    """
    is_of_writing = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
    if isinstance(error, OutputError) or (is_of_writing and error.filename is None):
        return True
    try:
        sys.stdout.flush()
    except OSError:
        return True
    return False


def _discard_output() -> None:
    """Give up what was not written; Python would complain when it flushes it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Run and manage durable workflows.

    Exit codes: 0 ok, 1 the run failed or is parked, 2 usage, 3 not found, 4 the database is
    unavailable, 5 timed out, 130 interrupted.
    """
