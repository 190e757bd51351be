"""The words that ``aiosched doctor`` understands."""

from __future__ import annotations

import argparse

from aiosched.cli.output import EXAMPLES
from aiosched.cli.words import add_place

__all__ = ["add_doctor"]


def add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    what = "find damage in a namespace's data, and mend it"
    doctor = commands.add_parser(
        "doctor",
        help=what,
        description="Find damage in a namespace's data, and mend it.  Nothing is "
        "written without --fix.  Exit code 1: there is damage.",
        epilog=EXAMPLES["doctor"],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_place(doctor, "--redis")
    doctor.add_argument(
        "--fix", action="store_true", help="mend what is mended without losing anything"
    )
    doctor.add_argument(
        "--yes",
        action="store_true",
        help="with --fix: also put what nobody can read into quarantine",
    )
    doctor.add_argument("--json", action="store_true", help="one JSON object")
    doctor.set_defaults(command=_doctor)


def _doctor(words: argparse.Namespace) -> int:
    from aiosched.cli.doctor import Asked, run_doctor
    from aiosched.cli.place import place_of

    place = place_of(words)
    return run_doctor(
        Asked(
            place.store,
            place.namespace,
            fix=words.fix,
            yes=words.yes,
            as_json=words.json,
        )
    )
