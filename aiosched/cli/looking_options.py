"""The words of the commands that look: show, peers, health."""

from __future__ import annotations

import argparse

from aiosched.cli.words import Commands, add_json, add_place, duration, explained

__all__ = ["add_looking"]

_STORE = "--store redis://db.example.com"


def add_looking(commands: Commands) -> None:
    """Add the commands to the command line."""
    show = explained(
        commands,
        "show",
        "all there is to know of a job",
        f"nightly {_STORE}",
        f"nightly {_STORE} --tz Europe/Paris --json",
        more="Its definition, its state, the next fire times, the last outcomes, the "
        "runs under way, and why nothing runs if nothing does.",
    )
    show.add_argument("job", metavar="JOB", help="the job's id")
    show.add_argument("--tz", metavar="ZONE", help="zone of the fire times")
    add_place(show)
    add_json(show, "one JSON object")
    show.set_defaults(command=_show)
    peers = explained(
        commands, "peers", "the peers that are alive", _STORE, f"{_STORE} --json"
    )
    add_place(peers)
    add_json(peers)
    peers.set_defaults(command=_peers)
    _add_health(commands)


def _add_health(commands: Commands) -> None:
    health = explained(
        commands,
        "health",
        "whether the store answers and peers run jobs; for probes",
        _STORE,
        f'{_STORE} --name "$HOSTNAME"',
        "--file /run/aiosched/health.json",
        "--file /run/aiosched/health.json --live",
        more="With --file it does not ask the store, but reads what `aiosched run "
        "--health-file` of this machine has written.  Exit code 0: healthy, 1: not.",
    )
    add_place(health)
    health.add_argument("--name", help="the peer of this name, not just any")
    health.add_argument("--file", metavar="PATH", help="what a peer says of itself")
    health.add_argument(
        "--live",
        action="store_true",
        help="with --file: only whether it goes on at all; a store that is away, which "
        "no restart mends, does not count",
    )
    health.add_argument(
        "--max-age",
        type=duration,
        metavar="TIME",
        default=None,
        help="with --file: how old it may be (default: 20s)",
    )
    add_json(health, "one JSON object")
    health.set_defaults(command=_health)


def _show(words: argparse.Namespace) -> int:
    from aiosched.cli.show import print_job

    return print_job(words)


def _peers(words: argparse.Namespace) -> int:
    from aiosched.cli.peers import print_peers

    return print_peers(words)


def _health(words: argparse.Namespace) -> int:
    from aiosched.cli.healthy import print_health

    return print_health(words)
