"""The options of ``aiosched run`` that say how one looks at what runs."""

from __future__ import annotations

import argparse

__all__ = ["add_watching"]


def add_watching(run: argparse.ArgumentParser) -> None:
    """Add the form of the log, and where metrics are shown."""
    run.add_argument(
        "--log-format",
        choices=("text", "json"),
        default="text",
        help="json: one object a line, on standard error",
    )
    run.add_argument(
        "--metrics-port",
        type=_port,
        metavar="PORT",
        help="show metrics for Prometheus under /metrics; 0: on a free port",
    )
    run.add_argument(
        "--metrics-host",
        default="127.0.0.1",
        metavar="HOST",
        help="where they are listened for (default 127.0.0.1; 0.0.0.0: everywhere)",
    )


def _port(text: str) -> int:
    number = int(text)
    if 0 <= number <= 65_535:
        return number
    message = f"{text} is no port: 0 to 65535"
    raise argparse.ArgumentTypeError(message)
