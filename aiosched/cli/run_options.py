"""The words of ``aiosched run`` that are about the life of its peer."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from aiosched.cli.audit import add_audit_option
from aiosched.cli.codes import CannotError
from aiosched.cli.config_options import add_run_config, reads_file, run_file
from aiosched.cli.output import EXAMPLES
from aiosched.cli.watching_options import add_watching

if TYPE_CHECKING:
    from aiosched.cli.living import Life

__all__ = ["LEVELS", "add_run", "level_of", "life_of"]

LEVELS = ("debug", "info", "warning", "error", "critical")


def add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``run`` to the commands."""
    run = commands.add_parser(
        "run",
        help="run a scheduler of yours until SIGINT or SIGTERM",
        description="The first signal lets runs end, the second cuts them short; "
        "those are handed back, to be run again.",
        epilog=EXAMPLES["run"],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument(
        "target",
        metavar="MODULE:NAME",
        nargs="?",
        help="a Scheduler, or a function without arguments (async or not) that "
        "returns one; modules are looked for in the current folder too; without it "
        "--store is needed, and the executors are those of `aiosched plugins`",
    )
    run.add_argument(
        "--grace",
        type=_grace,
        metavar="SECONDS",
        help="how long runs may take to end after the first signal (default 30)",
    )
    run.add_argument("--once", action="store_true", help="end as soon as it is ready")
    run.add_argument("--log-level", choices=LEVELS, default=None)
    _add_life(run)
    add_watching(run)
    add_audit_option(run)
    add_run_config(run)
    run.set_defaults(command=_run, says=False)


def _add_life(run: argparse.ArgumentParser) -> None:
    """Add the words of the peer's life."""
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
    life = run.add_argument_group("its life")
    life.add_argument(
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
    level = run.add_argument_group("in place of --log-level")
    one = level.add_mutually_exclusive_group()
    one.add_argument("-v", "--verbose", action="store_true", help="debug")
    one.add_argument(
        "-q", "--quiet", action="count", default=0, help="warning; -qq: error"
    )


def life_of(words: argparse.Namespace) -> Life:
    """Return what the words say of a peer's life.

    Raises:
        CannotError: Words that do not go together.
    """
    from aiosched.cli.living import Life

    if words.burst and words.once:
        raise CannotError("--burst and --once end it at different times; give one")
    return Life(
        words.store,
        words.namespace,
        words.name,
        None if words.queues is None else tuple(words.queues),
        words.app_dir,
        words.burst,
        words.wait,
        words.pidfile,
        words.health_file,
    )


def level_of(words: argparse.Namespace) -> str | None:
    """Return the level of logs that the words name; None: they do not.

    Raises:
        CannotError: Words that do not go together.
    """
    short = "debug" if words.verbose else None
    if words.quiet:
        short = "warning" if words.quiet == 1 else "error"
    if short is not None and words.log_level is not None:
        raise CannotError("--log-level goes with neither -v nor -q")
    return words.log_level or short


def _run(words: argparse.Namespace) -> int:
    if reads_file(words):
        return run_file(words)
    from aiosched.cli.run import run_target
    from aiosched.cli.watching import watching_of

    return run_target(
        words.target,
        grace=30.0 if words.grace is None else words.grace,
        once=words.once,
        log_level=level_of(words) or "info",
        life=life_of(words),
        watching=watching_of(words),
    )


def _grace(text: str) -> float:
    seconds = float(text)
    if 0 <= seconds < float("inf"):
        return seconds
    message = f"{text} is no number of seconds"
    raise argparse.ArgumentTypeError(message)
