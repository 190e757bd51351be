"""The words of ``aiosched run``."""

from __future__ import annotations

import argparse

from aiosched.cli.words import Commands, explained

__all__ = ["LEVELS", "add_run"]

LEVELS = ("debug", "info", "warning", "error", "critical")


def add_run(commands: Commands) -> None:
    """Add the command to the command line."""
    run = explained(
        commands,
        "run",
        "run a scheduler of yours until SIGINT or SIGTERM",
        "shop.jobs:scheduler",
        "shop.jobs:scheduler --store redis://db.example.com --name web-1 --wait",
        "shop.jobs:scheduler --burst --app-dir /srv/shop --grace 60 -v",
        more="The first signal lets runs end, the second cuts them short; those are "
        "handed back, to be run again.",
    )
    run.add_argument(
        "target",
        metavar="MODULE:NAME",
        nargs="?",
        help="a Scheduler, or a function without arguments (async or not) that "
        "returns one; without it --store is needed, and the executors are those that "
        "installed distributions bring (see `aiosched plugins`)",
    )
    _add_scheduler(run)
    _add_life(run)
    _add_logs(run)
    run.set_defaults(command=_run, says=False)


def _add_scheduler(run: argparse.ArgumentParser) -> None:
    which = run.add_argument_group("the scheduler (in place of what the code says)")
    which.add_argument("--store", "--redis-url", metavar="URL", help="its store")
    which.add_argument("--namespace", metavar="NAME")
    which.add_argument("--name", help="what people call this peer")
    which.add_argument(
        "--queue",
        action="append",
        dest="queues",
        metavar="NAME",
        help="run only jobs of it; may be given again",
    )
    which.add_argument(
        "--app-dir",
        metavar="FOLDER",
        help="where modules are looked for first (default: the current folder)",
    )


def _add_life(run: argparse.ArgumentParser) -> None:
    life = run.add_argument_group("its life")
    life.add_argument(
        "--grace",
        type=_grace,
        default=30.0,
        metavar="SECONDS",
        help="how long runs may take to end after the first signal (default 30)",
    )
    end = life.add_mutually_exclusive_group()
    end.add_argument("--once", action="store_true", help="end as soon as it is ready")
    end.add_argument(
        "--burst",
        action="store_true",
        help="run what is due, and end when nothing more is",
    )
    life.add_argument(
        "--wait",
        action="store_true",
        help="for a store that does not answer, rather than end within 5 seconds",
    )
    life.add_argument("--pidfile", metavar="PATH", help="holds the process's id")
    life.add_argument(
        "--health-file",
        metavar="PATH",
        help="says every 5 seconds how it is, for `aiosched health --file`",
    )


def _add_logs(run: argparse.ArgumentParser) -> None:
    logs = run.add_argument_group("logs, on standard error")
    level = logs.add_mutually_exclusive_group()
    level.add_argument("--log-level", choices=LEVELS, help="default: info")
    level.add_argument(
        "-v", "--verbose", action="store_true", help="the same as --log-level debug"
    )
    level.add_argument(
        "-q",
        "--quiet",
        action="count",
        default=0,
        help="warnings and errors only; -qq: errors only",
    )


def _grace(text: str) -> float:
    seconds = float(text)
    if 0 <= seconds < float("inf"):
        return seconds
    message = f"{text} is no number of seconds"
    raise argparse.ArgumentTypeError(message)


def _run(words: argparse.Namespace) -> int:
    from aiosched.cli.run import Wanted, run_target

    quiet = ("info", "warning", "error")[min(words.quiet, 2)]
    return run_target(
        Wanted(
            words.target,
            store=words.store,
            namespace=words.namespace,
            name=words.name,
            queues=None if words.queues is None else tuple(words.queues),
            app_dir=words.app_dir,
            grace=words.grace,
            once=words.once,
            burst=words.burst,
            wait=words.wait,
            pidfile=words.pidfile,
            health_file=words.health_file,
            log_level=words.log_level or ("debug" if words.verbose else quiet),
        )
    )
