"""The words of the commands that act on jobs: start, stop, pause and so on."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from aiosched.cli.words import (
    Commands,
    add_by,
    add_json,
    add_place,
    add_selection,
    duration,
    explained,
    json_value,
    when,
)

__all__ = ["add_acting", "add_firing"]

_STORE = "--store redis://db.example.com"


@dataclass(frozen=True, slots=True)
class _Verb:
    name: str
    what: str
    examples: tuple[str, ...]
    more: str = ""


_VERBS = (
    _Verb(
        "start",
        "run jobs once, now, without moving their slots",
        (f"nightly {_STORE}", f"nightly {_STORE} --wait --timeout 10m --json"),
        "By a filter or --all: active jobs only.",
    ),
    _Verb(
        "stop",
        "cancel the runs of jobs, wherever they are, and pause the jobs",
        (f"nightly {_STORE}", f"--tag billing {_STORE} --note 'wrong rates' --yes"),
        "More than named jobs are stopped only with --yes, or if you say so.",
    ),
    _Verb(
        "pause",
        "hold jobs; runs that are under way go on",
        (f"nightly {_STORE}", f"--tag billing {_STORE} --until 2h --note audit"),
    ),
    _Verb(
        "resume",
        "end the pause of jobs",
        (f"nightly {_STORE}", f"--tag billing {_STORE} --json"),
    ),
    _Verb(
        "remove",
        "take jobs out; their runs are cancelled",
        (f"nightly {_STORE} --yes", f"--tag billing {_STORE} --yes --json"),
        "Asks first, or takes --yes.",
    ),
)


def add_acting(commands: Commands) -> None:
    """Add the commands that act on jobs."""
    for verb in _VERBS:
        command = explained(
            commands, verb.name, verb.what, *verb.examples, more=verb.more
        )
        add_selection(command, states=verb.name not in ("start", "resume"))
        add_place(command)
        add_by(command)
        if verb.name == "pause":
            command.add_argument(
                "--until",
                type=when,
                metavar="WHEN",
                help="when they go on by themselves: an instant, or 2h",
            )
        if verb.name in ("stop", "remove"):
            command.add_argument("--yes", action="store_true", help="do not ask")
        if verb.name == "start":
            _add_wait(command)
        add_json(command, "one JSON array, an object a job")
        command.set_defaults(command=_act, verb=verb.name)


def add_firing(commands: Commands) -> None:
    """Add the command that fires a keyword."""
    fire = explained(
        commands,
        "fire",
        "run every job that is subscribed to a keyword, once each",
        f"""order-paid {_STORE} --payload '{{"order": 17}}'""",
        f"order-paid {_STORE} --fire-id order-17 --ttl 1h --wait",
        more="The fire is stored: it reaches jobs whose peers are down at the moment.",
    )
    fire.add_argument("keyword", metavar="KEYWORD")
    fire.add_argument(
        "--payload",
        type=json_value,
        metavar="JSON",
        help="for the runs; @file reads a file, - standard input",
    )
    fire.add_argument(
        "--fire-id", metavar="ID", help="so that repeating it changes nothing"
    )
    fire.add_argument(
        "--ttl", type=duration, metavar="TIME", help="how long it may wait: 1h"
    )
    add_place(fire)
    _add_wait(fire)
    add_json(fire, "one JSON array, an object a job")
    fire.set_defaults(command=_fire)


def _add_wait(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--wait",
        action="store_true",
        help="until the runs have ended; exit code 1 unless all of them succeeded",
    )
    command.add_argument(
        "--timeout",
        type=duration,
        metavar="TIME",
        help="with --wait: at most so long; exit code 6 if it is too short",
    )


def _act(words: argparse.Namespace) -> int:
    from aiosched.cli.acting import act

    return act(words)


def _fire(words: argparse.Namespace) -> int:
    from aiosched.cli.acting import fire

    return fire(words)
