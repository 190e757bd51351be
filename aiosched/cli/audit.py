"""``aiosched audit``: whether an audit log is still what was written."""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

__all__ = ["add_audit", "add_audit_option", "verify_files"]


def add_audit(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    audit = commands.add_parser("audit", help="check an audit log")
    verbs = audit.add_subparsers(metavar="VERB", required=True)
    verify = verbs.add_parser(
        "verify",
        help="whether records were changed, taken out or put in",
        description="Follows the chain of hashes.  Exit code 1: it is broken.",
    )
    verify.add_argument(
        "files", nargs="+", metavar="FILE", help="of rotated ones the oldest first"
    )
    verify.add_argument("--key-file", metavar="FILE", help="the key of the chain")
    verify.add_argument("--json", action="store_true", help="one JSON object")
    verify.set_defaults(command=_verify)


def add_audit_option(run: argparse.ArgumentParser) -> None:
    """Let a command that runs a scheduler keep an audit trail."""
    run.add_argument(
        "--audit",
        nargs="?",
        const="-",
        metavar="FILE",
        help="record who did what, and every run, as JSON lines; to standard output, "
        "or to a file, tied by hashes",
    )


def _verify(words: argparse.Namespace) -> int:
    return verify_files(words.files, words.key_file, as_json=words.json)


def verify_files(files: list[str], key_file: str | None, *, as_json: bool) -> int:
    """Print what is wrong with audit logs.

    Args:
        files: In the order in which they were written.
        key_file: Holds the key, to its last byte but a line break.
        as_json: Whether it is printed as JSON.

    Returns:
        0 if nothing is wrong, else 1.

    Raises:
        CannotError: A file cannot be read.
    """
    from aiosched.audit.chain import verify
    from aiosched.cli.app import CannotError

    try:
        key = None if key_file is None else Path(key_file).read_bytes().rstrip(b"\r\n")
        verdict = verify(_lines(files), key=key)
    except OSError as error:
        message = f"cannot read {error.filename}: {error.strerror}"
        raise CannotError(message) from None
    if as_json:
        said = {
            "ok": verdict.ok,
            "records": verdict.records,
            "repeated": verdict.repeated,
            "heads": {chain: list(head) for chain, head in verdict.heads.items()},
            "problems": verdict.problems,
        }
        print(json.dumps(said, indent=2))
    else:
        for problem in verdict.problems:
            print(problem)
        word = "whole" if verdict.ok else "BROKEN"
        print(f"{word}: {verdict.records} records, {len(verdict.problems)} problems")
        for chain, (number, last) in verdict.heads.items():
            print(f"  chain {chain} ends with record {number}, {last}")
    return 0 if verdict.ok else 1


def _lines(files: list[str]) -> Iterator[bytes]:
    def each(name: str) -> Iterator[bytes]:
        with Path(name).open("rb") as file:
            yield from file

    return itertools.chain.from_iterable(map(each, files))
