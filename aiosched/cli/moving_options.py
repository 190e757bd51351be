"""The words of ``aiosched export`` and ``aiosched import``."""

from __future__ import annotations

import argparse

from aiosched.cli.words import Commands, add_json, add_place, explained

__all__ = ["add_moving"]

_STORE = "--store redis://db.example.com"


def add_moving(commands: Commands) -> None:
    """Add the commands to the command line."""
    export = explained(
        commands,
        "export",
        "write jobs as one JSON document, for import",
        f"{_STORE} > jobs.json",
        f"nightly {_STORE} -o nightly.json",
        f"{_STORE} --tag billing --namespace shop",
        more="Definitions, next slots, pauses and sums; not runs, results or history.",
    )
    export.add_argument("jobs", nargs="*", metavar="JOB", help="ids (default: all)")
    export.add_argument("--tag", help="jobs that carry it")
    export.add_argument("-o", "--output", metavar="FILE", help="in place of the output")
    add_place(export)
    export.set_defaults(command=_export)
    bring = explained(
        commands,
        "import",
        "store the jobs of a document that export wrote",
        f"jobs.json {_STORE} --dry-run",
        f"jobs.json {_STORE} --keep-state --allow-unknown",
        f"jobs.json {_STORE} --allow-unknown --on-conflict replace --yes",
        more="All of it is checked before the first job is written.",
    )
    bring.add_argument("file", metavar="FILE", help="the document; - is standard input")
    bring.add_argument(
        "--on-conflict",
        choices=("raise", "replace", "keep"),
        default="raise",
        help="if an id has another definition (default: raise, exit code 4)",
    )
    bring.add_argument(
        "--keep-state",
        action="store_true",
        help="go on with the next slots and sums of the document, rather than anew",
    )
    bring.add_argument("--dry-run", action="store_true", help="check, write nothing")
    bring.add_argument(
        "--allow-unknown",
        action="store_true",
        help="also executors that no peer has said that it has",
    )
    bring.add_argument(
        "--yes", action="store_true", help="do not ask before jobs are replaced"
    )
    bring.add_argument("--by", metavar="NAME", help="who asks (default: your login)")
    add_place(bring)
    add_json(bring, "one JSON object")
    bring.set_defaults(command=_import)


def _export(words: argparse.Namespace) -> int:
    from aiosched.cli.moving import export_jobs

    return export_jobs(words)


def _import(words: argparse.Namespace) -> int:
    from aiosched.cli.moving import import_jobs

    return import_jobs(words)
