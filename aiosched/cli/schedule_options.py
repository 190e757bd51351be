"""The words of ``aiosched schedule``: every field of a job, and when it runs."""

from __future__ import annotations

import argparse

from aiosched.cli.words import (
    Commands,
    add_json,
    add_place,
    duration,
    explained,
    instant,
    json_object,
    loose_value,
    positive,
)

__all__ = ["add_schedule"]

_STORE = "--store redis://db.example.com"


def add_schedule(commands: Commands) -> None:
    """Add the command to the command line."""
    command = explained(
        commands,
        "schedule",
        "store a job, to be run by peers that have its executor",
        f"report --id nightly --cron '0 3 * * *' --tz Europe/Paris {_STORE}",
        f"""mail --kwargs '{{"to": "ann"}}' --in 10m {_STORE}""",
        f"sync --arg 7 --every '10 minutes' --id sync-7 --timeout 5m {_STORE}",
        f"invoice --id invoices --keyword order-paid --on-conflict replace {_STORE}",
        more="Without a time and a keyword it runs once, now.  The same id with the "
        "same definition is a no-op.  Without --id each call adds a job.",
    )
    command.add_argument("executor", metavar="EXECUTOR", help="name of who does it")
    _add_arguments(command)
    _add_times(command)
    _add_rules(command)
    _add_about(command)
    add_place(command)
    add_json(command, "one JSON object, the job as it is stored")
    command.set_defaults(command=_schedule)


def _add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--arg",
        action="append",
        default=[],
        type=loose_value,
        dest="args",
        metavar="VALUE",
        help="positional; JSON where it is some, else text; may be given again",
    )
    command.add_argument(
        "--kwargs",
        type=json_object,
        metavar="JSON",
        help="named; @file reads a file, - standard input",
    )


def _add_times(command: argparse.ArgumentParser) -> None:
    when = command.add_argument_group("when (one of these, with or without a keyword)")
    one = when.add_mutually_exclusive_group()
    one.add_argument("--every", type=duration, metavar="TIME", help="'10 minutes', 1h")
    one.add_argument("--cron", metavar="EXPRESSION", help="'0 3 * * *', in --tz")
    one.add_argument("--at", metavar="INSTANT", help="once; an offset, or --tz")
    one.add_argument(
        "--in",
        type=duration,
        metavar="TIME",
        dest="when",
        help="once, so long after",
    )
    one.add_argument(
        "--trigger", type=json_object, metavar="JSON", help='{"kind": ...}, any kind'
    )
    when.add_argument("--tz", metavar="ZONE", help="of --cron and --at (default: UTC)")
    when.add_argument("--start", type=instant, metavar="INSTANT", help="of --every")
    when.add_argument("--end", type=instant, metavar="INSTANT", help="of --every")
    when.add_argument("--keyword", metavar="WORD", help="a fire of it runs the job")


def _add_rules(command: argparse.ArgumentParser) -> None:
    rules = command.add_argument_group("rules (the defaults are those of Job)")
    for name, kind, meta in (
        ("max-runs", positive, "N"),
        ("misfire-grace", duration, "TIME"),
        ("coalesce", str, "latest|earliest|all"),
        ("coalesce-limit", positive, "N"),
        ("overlap", str, "skip|queue|allow|cancel_previous"),
        ("max-running", positive, "N"),
        ("jitter", duration, "TIME"),
        ("timeout", duration, "TIME"),
        ("retry", json_object, "JSON"),
        ("on-lost", str, "rerun|record"),
        ("max-lost", int, "N"),
        ("keep", duration, "TIME"),
        ("keep-last", int, "N"),
        ("keep-results", duration, "TIME"),
    ):
        rules.add_argument(f"--{name}", type=kind, metavar=meta)
    rules.add_argument(
        "--retries",
        type=positive,
        metavar="N",
        help="N + 1 attempts",
    )


def _add_about(command: argparse.ArgumentParser) -> None:
    about = command.add_argument_group("the job itself")
    about.add_argument("--id", metavar="ID", help="drawn unless it is given")
    about.add_argument("--queue", metavar="NAME")
    about.add_argument("--tag", action="append", default=[], dest="tags", metavar="TAG")
    about.add_argument("--note", metavar="TEXT")
    about.add_argument("--meta", type=json_object, metavar="JSON")
    about.add_argument("--paused", action="store_true", help="from the start")
    about.add_argument(
        "--on-conflict",
        choices=("raise", "replace", "keep"),
        default="raise",
        help="if the id has another definition (default: raise, exit code 4)",
    )
    about.add_argument("--again", action="store_true", help="also if it has finished")
    about.add_argument(
        "--allow-unknown",
        action="store_true",
        help="also if no peer has said that it has the executor",
    )
    about.add_argument("--by", metavar="NAME", help="who asks (default: your login)")


def _schedule(words: argparse.Namespace) -> int:
    from aiosched.cli.schedule import print_scheduled

    return print_scheduled(words)
