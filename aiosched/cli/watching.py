"""How one looks at what ``aiosched run`` runs: logs, metrics, audit records."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    nullcontext,
)
from dataclasses import dataclass

from aiosched.audit import Auditor, FileSink
from aiosched.cli.codes import CannotError
from aiosched.errors import ConfigurationError
from aiosched.logs import JsonFormatter
from aiosched.scheduler import Scheduler

__all__ = ["Watching", "audited", "begin_logging", "shown", "watching_of"]


@dataclass(frozen=True, slots=True)
class Watching:
    """What is wanted.

    Attributes:
        log_format: ``text`` or ``json``.
        metrics: Host and port where Prometheus may ask; None: nowhere.
        audit: Where audit records go: ``-`` for standard output, or a file; None:
            there are none.
    """

    log_format: str = "text"
    metrics: tuple[str, int] | None = None
    audit: str | None = None


def watching_of(words: argparse.Namespace) -> Watching:
    """Return what the words say of it."""
    port = words.metrics_port
    metrics = None if port is None else (words.metrics_host, port)
    return Watching(words.log_format, metrics, words.audit)


_FORMATS: dict[str, Callable[[], logging.Formatter]] = {
    "text": lambda: logging.Formatter(
        "%(asctime)s %(levelname)-8s %(name)s  %(message)s"
    ),
    "json": JsonFormatter,
}


def begin_logging(level: str, watching: Watching) -> None:
    """Have logs written to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_FORMATS[watching.log_format]())
    logging.basicConfig(level=level.upper(), handlers=[handler])


def shown(scheduler: Scheduler, watching: Watching) -> AbstractContextManager[object]:
    """Show metrics while a scheduler runs, if that was asked for.

    Raises:
        CannotError: What it takes is not installed, or the port is taken.
    """
    if watching.metrics is None:
        return nullcontext()
    host, port = watching.metrics
    try:
        from aiosched.integrations.prometheus import Metrics

        families = Metrics.of(scheduler) or Metrics()
        families.watch(scheduler)
        server = families.serve(port, host=host)
    except (ImportError, ConfigurationError) as error:
        raise CannotError(f"--metrics-port: {error}") from None
    print(f"metrics at http://{host}:{server.port}/metrics", flush=True)
    return server


def audited(
    scheduler: Scheduler, watching: Watching
) -> AbstractAsyncContextManager[object]:
    """Write audit records while a scheduler runs, if that was asked for."""
    if watching.audit is None:
        return nullcontext()
    if watching.audit == "-":
        return Auditor(scheduler)
    return Auditor(scheduler, FileSink(watching.audit), chained=True)
