"""The words of ``aiosched run`` that are about the life of its peer."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from aiosched.cli.codes import CannotError

if TYPE_CHECKING:
    from aiosched.cli.living import Life

__all__ = ["add_run_life", "level_of", "life_of"]


def add_run_life(run: argparse.ArgumentParser) -> None:
    """Add the words of the peer's life to those of ``run``."""
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
