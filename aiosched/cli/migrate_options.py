"""The words of the commands for those who come from another scheduler."""

from __future__ import annotations

import argparse
from datetime import datetime

__all__ = ["KINDS", "add_migrate"]

KINDS = (
    "crontab",
    "crontab-system",
    "apscheduler",
    "rq-scheduler",
    "redbeat",
    "celery-beat",
)
_EXAMPLES = """examples:
  aiosched {name} crontab /var/spool/cron/crontabs/ann --map command=run_command
  aiosched {name} apscheduler redis://db.example.com --map-file names.toml
  aiosched {name} apscheduler sqlite:///jobs.sqlite --keep-names
  aiosched {name} rq-scheduler redis://db.example.com --tz Europe/Paris --keep-names
  aiosched {name} redbeat redis://db.example.com/1 --keep-names
  aiosched {name} celery-beat shop.celery:app --keep-names"""


def add_migrate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``migrate`` and ``shadow`` to the command line."""
    migrate = _explained(
        commands,
        "migrate",
        "write the schedules of another scheduler as jobs, for import",
        "Reads only.  Stop the other scheduler first, then migrate, then `aiosched "
        "import FILE --keep-state`: each job begins with the slot that was next "
        "there.  Standard error says what is left out, and why; exit code 1: "
        "something is, or the other still runs.",
    )
    migrate.add_argument(
        "-o", "--output", metavar="FILE", help="in place of the output"
    )
    migrate.add_argument(
        "--at",
        type=_instant,
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
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    what: str,
    more: str,
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name,
        help=what,
        description=more,
        epilog=_EXAMPLES.format(name=name),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
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


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.utcoffset() is None:
        message = f"{text} is no instant; write it as 2030-01-31T09:00+01:00"
        raise argparse.ArgumentTypeError(message)
    return instant


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
