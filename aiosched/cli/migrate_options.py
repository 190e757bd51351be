"""The words of the commands for those who come from another scheduler."""

from __future__ import annotations

import argparse

from aiosched.cli.words import Commands, explained, instant

__all__ = ["KINDS", "add_migrate"]

_REDIS = "redis://db.example.com"
KINDS = (
    "crontab",
    "crontab-system",
    "apscheduler",
    "rq-scheduler",
    "redbeat",
    "celery-beat",
)


def add_migrate(commands: Commands) -> None:
    """Add ``migrate`` and ``shadow`` to the command line."""
    migrate = _explained(
        commands,
        "migrate",
        "write the schedules of another scheduler as jobs, for import",
        "Reads only.  Stop the other scheduler first, then migrate, then `aiosched "
        "import FILE --keep-state`: each job begins with the slot that was next "
        "there.  Standard error says what is left out, and why; exit code 1: "
        "something is, or the other still runs.",
        f"rq-scheduler {_REDIS} --tz Europe/Paris --keep-names",
        f"redbeat {_REDIS} --keep-names -o jobs.json",
        f"apscheduler {_REDIS} --map shop.tasks:close=close",
    )
    migrate.add_argument(
        "-o", "--output", metavar="FILE", help="in place of the output"
    )
    migrate.add_argument(
        "--at",
        type=instant,
        metavar="INSTANT",
        help="when the other was stopped, where it does not say what it has fired: "
        "slots up to it are its own (default: now)",
    )
    migrate.set_defaults(command=_migrate)
    shadow = _explained(
        commands,
        "shadow",
        "record what aiosched would fire beside another scheduler",
        "Reads only, and fires nothing.  One JSON object a line: what is due here, "
        "and whether the other's store agrees.  Ends with Ctrl-C; exit code 1: it "
        "did not agree.",
        f"redbeat {_REDIS} --keep-names --seconds 1",
        f"rq-scheduler {_REDIS} --keep-names --every 0.5 --seconds 1",
    )
    shadow.add_argument(
        "--every",
        type=_seconds,
        default=5.0,
        metavar="SECONDS",
        help="between two looks (default 5)",
    )
    shadow.add_argument(
        "--seconds", type=_seconds, help="end after so long (default: never)"
    )
    shadow.set_defaults(command=_shadow)


def _explained(
    commands: Commands, name: str, what: str, more: str, *examples: str
) -> argparse.ArgumentParser:
    command = explained(commands, name, what, *examples, more=more)
    command.add_argument("kind", metavar="KIND", choices=KINDS, help=", ".join(KINDS))
    command.add_argument(
        "place",
        metavar="PLACE",
        help="a file (- is standard input), a URL, or MODULE:NAME of a beat_schedule",
    )
    command.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="the executor NEW stands for the function OLD; may be given again; * "
        "stands for all others",
    )
    command.add_argument(
        "--map-file", metavar="FILE", help="a table of them, TOML or JSON"
    )
    command.add_argument(
        "--keep-names",
        action="store_true",
        help="functions that are not mapped are executors of the same name",
    )
    command.add_argument("--prefix", help="what stands before each id")
    command.add_argument(
        "--tz", default="UTC", help="the zone of the other scheduler (default UTC)"
    )
    command.add_argument(
        "--key", help="key or table that holds the jobs, if it is not the usual one"
    )
    command.add_argument(
        "--trust-pickle",
        action="store_true",
        help="let pickles run any code: only where nobody else can write",
    )
    return command


def _seconds(text: str) -> float:
    seconds = float(text)
    if 0 < seconds < float("inf"):
        return seconds
    message = f"{text} is no positive number of seconds"
    raise argparse.ArgumentTypeError(message)


def _migrate(words: argparse.Namespace) -> int:
    from aiosched.cli.migrate import migrate

    return migrate(words)


def _shadow(words: argparse.Namespace) -> int:
    from aiosched.cli.migrate import shadow

    return shadow(words)
