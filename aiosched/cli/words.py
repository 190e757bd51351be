"""What the words of all commands have in common, and how values are read."""

from __future__ import annotations

import argparse
import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

__all__ = [
    "NAMESPACE_ENV",
    "STORE_ENV",
    "Commands",
    "add_by",
    "add_json",
    "add_place",
    "add_selection",
    "duration",
    "explained",
    "instant",
    "json_object",
    "json_value",
    "loose_value",
    "positive",
    "when",
]

STORE_ENV, NAMESPACE_ENV = "AIOSCHED_STORE", "AIOSCHED_NAMESPACE"
if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Commands = argparse._SubParsersAction  # which is generic for type checkers only
_UNITS = {
    "ms": 0.001,
    "s": 1,
    "sec": 1,
    "second": 1,
    "m": 60,
    "min": 60,
    "minute": 60,
    "h": 3600,
    "hour": 3600,
    "d": 86_400,
    "day": 86_400,
    "w": 604_800,
    "week": 604_800,
}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*(?:,|and\b)?")


def explained(
    commands: Commands, name: str, what: str, *examples: str, more: str = ""
) -> argparse.ArgumentParser:
    """Add a command whose help ends with examples.

    Args:
        commands: Where.
        name: What it is called.
        what: What it does, without a capital and a full stop.
        *examples: What may stand behind ``aiosched NAME``; tests run them.
        more: What else its help says.
    """
    lines = "\n".join(f"  aiosched {name} {line}".rstrip() for line in examples)
    first = f"{what[:1].upper()}{what[1:]}."
    return commands.add_parser(
        name,
        help=what,
        description=f"{first}  {more}".strip(),
        epilog=f"examples:\n{lines}" if lines else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def add_place(command: argparse.ArgumentParser, *more: str) -> None:
    """Add the words that say where the jobs are.

    Args:
        command: To which.
        *more: Further names of ``--store``.
    """
    command.add_argument(
        "--store",
        "--redis-url",
        *more,
        metavar="URL",
        help=f"the store; without it what the environment has as {STORE_ENV}",
    )
    command.add_argument(
        "--namespace",
        metavar="NAME",
        help=f"without it {NAMESPACE_ENV}, or aiosched",
    )


def add_json(command: argparse.ArgumentParser, what: str = "one JSON array") -> None:
    """Add the word that asks for JSON."""
    command.add_argument("--json", action="store_true", help=what)


def add_by(command: argparse.ArgumentParser) -> None:
    """Add the words that say who acts, and why."""
    command.add_argument("--note", default="", metavar="TEXT", help="why")
    command.add_argument("--by", metavar="NAME", help="who asks (default: your login)")


def add_selection(command: argparse.ArgumentParser, *, states: bool = True) -> None:
    """Add the words that choose jobs, beside their ids."""
    command.add_argument("jobs", nargs="*", metavar="JOB", help="ids of jobs")
    chosen = command.add_argument_group("or all that match")
    chosen.add_argument("--all", action="store_true", help="every job of the namespace")
    chosen.add_argument("--tag", help="jobs that carry it")
    chosen.add_argument("--keyword", help="jobs that are subscribed to it")
    chosen.add_argument("--executor", metavar="NAME", help="jobs that it does")
    chosen.add_argument("--queue", metavar="NAME", help="jobs that belong to it")
    if states:
        chosen.add_argument(
            "--state", choices=("active", "paused"), help="jobs that are in it"
        )


def positive(text: str) -> int:
    """Read a whole number from 1 on."""
    number = int(text)
    if number >= 1:
        return number
    message = f"{text} is not at least 1"
    raise argparse.ArgumentTypeError(message)


def instant(text: str) -> datetime:
    """Read an instant with an offset."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.utcoffset() is None:
        message = f"{text} is no instant; write it as 2030-01-31T09:00+01:00"
        raise argparse.ArgumentTypeError(message)
    return found


def duration(text: str) -> timedelta:
    """Read a length of time: ``90``, ``90s``, ``1h30m``, ``10 minutes``, ``PT5M``."""
    given = text.strip()
    seconds = 0.0
    try:
        if given[:1] in ("P", "p"):
            return _iso(given)
        if re.fullmatch(r"\d+(\.\d+)?", given):
            return timedelta(seconds=float(given))
        place = 0
        while place < len(given):
            part = _PART.match(given.lower(), place)
            if part is None:
                break
            unit = part[2]
            size = _UNITS.get(unit) or _UNITS[unit.removesuffix("s")]
            seconds += float(part[1]) * size
            place = part.end()
        if given and place == len(given):
            return timedelta(seconds=seconds)
    except (KeyError, ValueError, OverflowError):
        pass
    message = f"{text!r} is no length of time; write 90, 90s, 1h30m or '10 minutes'"
    raise argparse.ArgumentTypeError(message)


def _iso(text: str) -> timedelta:
    from aiosched.errors import ConfigurationError
    from aiosched.jobs import checks

    try:
        found = checks.duration("duration", text, zero=True, none=False)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None
    if found is None:
        raise ValueError(text)
    return found


def when(text: str) -> datetime | timedelta:
    """Read an instant with an offset, or how long from now."""
    try:
        return duration(text)
    except argparse.ArgumentTypeError:
        return instant(text)


def json_value(text: str) -> Any:
    """Read JSON; ``@file`` reads a file, ``-`` standard input."""
    import sys

    try:
        if text == "-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text(encoding="utf-8")
        return json.loads(text)
    except OSError as error:
        message = f"{text} cannot be read: {error.strerror}"
    except (ValueError, RecursionError) as error:
        message = f"{text[:60]!r} is no JSON ({error}); a text needs quotes of its own"
    raise argparse.ArgumentTypeError(message)


def json_object(text: str) -> dict[str, Any]:
    """Read a JSON object, as :func:`json_value` does."""
    found = json_value(text)
    if isinstance(found, dict):
        return found
    message = f'{text[:60]!r} is no JSON object, such as {{"name": 1}}'
    raise argparse.ArgumentTypeError(message)


def loose_value(text: str) -> Any:
    """Read JSON where it is some, else take the text as it is."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
