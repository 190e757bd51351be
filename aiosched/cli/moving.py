"""``aiosched export`` and ``aiosched import``: jobs as a file."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aiosched._api.moving import Imported
from aiosched.cli.codes import CannotError, ExitCode
from aiosched.cli.place import place_of, who, work
from aiosched.cli.printable import printable
from aiosched.cli.selecting import confirm
from aiosched.scheduler import Scheduler

__all__ = ["export_jobs", "import_jobs"]


def export_jobs(words: argparse.Namespace) -> int:
    """Write jobs as a document.

    Returns:
        0; 1 if something is not in it, which standard error names.

    Raises:
        CannotError: The file cannot be written.
        JobNotFoundError: One that was named is not there.
    """
    unread: list[str] = []

    async def deed(scheduler: Scheduler) -> dict[str, Any]:
        scheduler.on("unreadable", lambda event: unread.append(event.data["key"]))
        return await scheduler.export_jobs(*words.jobs, tag=words.tag)

    document = work(place_of(words), deed)
    text = json.dumps(document, indent=2, ensure_ascii=False)
    if words.output is None:
        print(text)
    else:
        _write(Path(words.output), text + "\n")
        print(f"{len(document['jobs'])} jobs in {words.output}")
    for left in document["left_out"]:
        print(
            f"aiosched: job {printable(left['id'])} is left out: nothing but a firing "
            f"that is {left['reason']} is left of it",
            file=sys.stderr,
        )
    for key in unread:
        print(
            f"aiosched: {printable(key)} cannot be read, and is left out: see "
            "`aiosched doctor`",
            file=sys.stderr,
        )
    return ExitCode.FAILED if document["left_out"] or unread else ExitCode.DONE


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all: the one that is there may be the only one."""
    draft = ""
    try:
        with tempfile.NamedTemporaryFile(
            "w",
            encoding="utf-8",
            dir=path.parent,
            prefix=f".{path.name}.",
            delete=False,
        ) as file:
            draft = file.name
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            Path(draft).unlink()
        raise CannotError(f"cannot write {path}: {error.strerror}") from None


def import_jobs(words: argparse.Namespace) -> int:
    """Store the jobs of a document.

    Raises:
        CannotError: It cannot be read, or nobody said yes.
        AioschedError: As ``Scheduler.import_jobs``.
    """
    place, document = place_of(words), _read(words.file)

    async def bring(scheduler: Scheduler, *, dry_run: bool) -> Imported:
        return await scheduler.import_jobs(
            document,
            on_conflict=words.on_conflict,
            keep_state=words.keep_state,
            allow_unknown=words.allow_unknown,
            dry_run=dry_run,
            by=words.by or who(),
        )

    if words.on_conflict == "replace" and not words.dry_run:
        foreseen = work(place, lambda client: bring(client, dry_run=True))
        question = f"replace ... of {place.namespace}"
        confirm(question, list(foreseen.replaced), yes=words.yes)
    done = work(place, lambda client: bring(client, dry_run=words.dry_run))
    if words.json:
        print(json.dumps(asdict(done), indent=2, ensure_ascii=False))
        return 0
    for word in ("created", "replaced", "kept", "unchanged"):
        ids = getattr(done, word)
        if ids:
            print(f"{word}: {', '.join(map(printable, ids))}")
    print("nothing was written" if done.dry_run else f"{_count(done)} jobs written")
    return 0


def _count(done: Imported) -> int:
    return len(done.created) + len(done.replaced)


def _read(name: str) -> Any:
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
    except OSError as error:
        raise CannotError(f"cannot read {name}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CannotError(f"{name} is not UTF-8") from None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CannotError(f"{name} is no JSON: {error}") from None
