"""What the agents of the demo are told."""

from __future__ import annotations

from outlast.demo.sources import Function, Source

READER = "You choose which function of a Python module a manual explains."
WRITER = "You explain functions of Python in plain words, without code."
CRITIC = "You review explanations of Python functions: you accept one, or have it revised."


def choose(source: Source) -> str:
    """Ask which function of a module is explained."""
    lines = [f"{at}. {f.signature}: {f.summary}" for at, f in enumerate(source.functions, start=1)]
    listed = "\n".join(lines)
    return f"The functions of {source.module}:\n{listed}\n\nWhich one does a newcomer need first?"


def explain(source: Source, function: Function) -> str:
    """Ask for an explanation."""
    return (
        f"{source.module}.{function.signature} is documented like this: {function.docstring}\n\n"
        f"Say in one sentence what {function.name} does."
    )


def review(function: Function, text: str) -> str:
    """Ask whether an explanation will do."""
    return f"{function.signature}: {text}\n\nIs this a good explanation of {function.name}?"


def revise(advice: str) -> str:
    """Ask for another explanation."""
    return f"Say it again in one sentence, and {advice}."
