"""``aiosched migrate`` and ``aiosched shadow``: other schedulers, read only."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
import tempfile
from pathlib import Path

from aiosched.cli.codes import CannotError, ExitCode
from aiosched.cli.printable import printable
from aiosched.clock import SystemClock
from aiosched.errors import InvalidInputError, StoreUnavailableError
from aiosched.instants import moment
from aiosched.integrations.importers.found import Found
from aiosched.integrations.importers.names import Names
from aiosched.integrations.importers.shadow import Shadow, Sight
from aiosched.integrations.importers.sources import Source

__all__ = ["migrate", "shadow"]


def migrate(words: argparse.Namespace) -> int:
    """Write what is found as a document.

    Returns:
        0; 1 if something is left out, or the other scheduler still runs.

    Raises:
        CannotError: The file cannot be written.
        InvalidInputError: The source cannot be read as it is named.
        StoreUnavailableError: Its server does not answer.
    """
    found = _source(words).read(words.at or moment(SystemClock().wall()))
    text = json.dumps(found.document(), indent=2, ensure_ascii=False)
    if words.output is None:
        print(text)
    else:
        _write(Path(words.output), text + "\n")
        print(f"{len(found.jobs)} jobs in {words.output}")
    for line in _said(found):
        print(f"aiosched: {printable(line)}", file=sys.stderr)
    return ExitCode.FAILED if found.left_out or found.running else ExitCode.DONE


def _source(words: argparse.Namespace) -> Source:
    names = Names.read(words.map_file, words.map, keep=words.keep_names)
    return Source(
        words.kind,
        words.place,
        names,
        words.prefix,
        words.tz,
        words.trust_pickle,
        words.key,
    )


def _said(found: Found) -> list[str]:
    lines = [f"{one.id} is left out: {one.reason}" for one in found.left_out]
    lines += [f"{one.job.id}: {remark}" for one in found.jobs for remark in one.remarks]
    if found.running is not None:
        lines.append(
            f"the other scheduler still runs ({found.running}): what it fires from "
            "now on would be fired here again; stop it, and migrate once more"
        )
    return lines


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
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
        Path(draft).replace(path)
    except OSError as error:
        if draft:
            with contextlib.suppress(OSError):
                Path(draft).unlink()
        raise CannotError(f"cannot write {path}: {error.strerror}") from None


def shadow(words: argparse.Namespace) -> int:
    """Look again and again, and print what is seen.

    Returns:
        0; 1 if the other's store did not agree with what is due here.

    Raises:
        InvalidInputError: The source cannot be read as it is named.
        StoreUnavailableError: Its server does not answer at the first look.
    """
    return asyncio.run(_shadowing(_source(words), words.every, words.seconds))


async def _shadowing(source: Source, every: float, seconds: float | None) -> int:
    clock, watcher = SystemClock(), Shadow()
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows raises it instead
            loop.add_signal_handler(number, ended.set)
    until: float | None = None
    sums: dict[str, int] = {}
    first = True
    while True:
        now = moment(clock.wall())
        try:
            found = await asyncio.to_thread(source.read, now)
        except (InvalidInputError, StoreUnavailableError) as error:
            if first:
                raise
            print(f"aiosched: {printable(str(error))}", file=sys.stderr)
        else:
            if first and seconds is not None:
                until = clock.monotonic() + seconds
            first = False
            for sight in watcher.look(found, now):
                sums[sight.word] = sums.get(sight.word, 0) + 1
                _show(sight)
        left = every if until is None else min(every, until - clock.monotonic())
        if left <= 0 or ended.is_set():
            break
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left):
                await ended.wait()
    words = ", ".join(f"{count} {word}" for word, count in sorted(sums.items()))
    print(f"aiosched: {words or 'nothing was due'}", file=sys.stderr)
    return ExitCode.FAILED if set(sums) & {"ours", "theirs"} else ExitCode.DONE


def _show(sight: Sight) -> None:
    print(json.dumps(sight.to_dict(), ensure_ascii=False), flush=True)
