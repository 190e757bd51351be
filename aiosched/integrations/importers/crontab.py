"""A crontab, in the form of a user or of the system.

The form is that of crontab(5) of cronie and Debian's cron: comments, environment
lines, ``CRON_TZ``, nicknames from ``@yearly`` to ``@hourly``, ``@reboot``, ``~`` for
a random time, ``%`` for standard input, and in the system's form the user in front
of the command.  A day field that begins with ``*`` has to match together with the
other; otherwise one of both is enough.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from aiosched.errors import InvalidInputError
from aiosched.integrations.importers.found import Found, Left, Schedule, take
from aiosched.integrations.importers.names import Names
from aiosched.jobs import JobOptions
from aiosched.triggers.cron import CronTrigger

__all__ = ["COMMAND", "read_crontab"]

COMMAND = "command"
"""What each line does, as the table of names has it."""
_ENVIRONMENT = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*|\"[^\"]+\"|'[^']+')\s*=\s*(.*)")
_LINE = re.compile(r"\s*-?(@\w+|(?:\S+\s+){4}\S+)\s+(\S.*)")
_RANDOM = re.compile(r"(\d*)~(\d*)(/\d+)?")
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_NICKNAMES = frozenset(
    ("yearly", "annually", "monthly", "weekly", "daily", "midnight", "hourly")
)
_MINUTELY = {"@every_minute": "* * * * *"}


@dataclass(slots=True)
class _Table:
    """What the lines of a crontab have said so far."""

    tz: str
    system: bool
    environment: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)


def read_crontab(
    text: str,
    *,
    at: datetime,
    names: Names,
    prefix: str = "cron-",
    tz: str = "UTC",
    system: bool = False,
) -> Found:
    """Read a crontab.

    Args:
        text: What ``crontab -l`` prints, or what the file holds.
        at: The instant of the hand-over, aware: slots up to it are cron's, since a
            crontab does not say what has been run.
        names: Which executor stands for :data:`COMMAND`.  It is given ``command``,
            and where the line has them ``stdin``, ``env`` (a mapping) and ``user``.
        prefix: What stands before each id; the rest follows from the line, so that
            moving it does not change the job.
        tz: The zone of the machine; ``CRON_TZ`` wins from its line on.
        system: Whether a user stands before each command (``/etc/crontab`` and
            files in ``/etc/cron.d``).

    Raises:
        InvalidInputError: The zone is unknown.
    """
    CronTrigger("0 0 * * *", tz=tz)
    lines = _schedules(text, _Table(tz, system))
    return take(lines, at=at, names=names, prefix=prefix)


def _schedules(text: str, table: _Table) -> Iterator[Schedule | Left]:
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        said = _ENVIRONMENT.fullmatch(line)
        if said is not None:
            _set(table, _unquoted(said[1]), _unquoted(said[2].strip()))
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            yield Left(f"line {number}", f"it cannot be read: {stripped!r:.80}")
            continue
        yield _schedule(f"line {number}", " ".join(found[1].split()), found[2], table)


def _set(table: _Table, name: str, value: str) -> None:
    if name == "CRON_TZ":
        table.tz = value
        return
    table.environment[name] = value


def _unquoted(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return text


def _schedule(place: str, when: str, rest: str, table: _Table) -> Schedule | Left:
    user = None
    if table.system:
        words = rest.split(None, 1)
        if len(words) < 2:
            return Left(place, "no command follows the user: is it a user's crontab?")
        user, rest = words
    if when == "@reboot":
        return Left(
            place,
            f"@reboot is no schedule: run {rest!r:.60} where the machine or the "
            "service starts",
        )
    if when.startswith("@") and when[1:] not in _NICKNAMES and when not in _MINUTELY:
        return Left(place, f"{when} is not known")
    command, stdin = _split(rest)
    try:
        trigger = _trigger(_MINUTELY.get(when, when), table.tz)
    except InvalidInputError as error:
        return Left(place, str(error))
    kwargs: dict[str, object] = {"command": command}
    if stdin is not None:
        kwargs["stdin"] = stdin
    if table.environment:
        kwargs["env"] = dict(table.environment)
    if user is not None:
        kwargs["user"] = user
    options: JobOptions = {"overlap": "allow", "note": f"{when} {rest}"[:1000]}
    return Schedule(
        _id(table, when, user, rest),
        COMMAND,
        trigger,
        kwargs=kwargs,
        options=options,
        remarks=_remarks(table),
    )


def _remarks(table: _Table) -> tuple[str, ...]:
    if "TZ" not in table.environment:
        return ()
    zone = table.environment["TZ"]
    return (f"TZ={zone} is for the command, not for its times: those are {table.tz}",)


def _id(table: _Table, when: str, user: str | None, rest: str) -> str:
    """Return an id that follows from what the line says, and from nothing else."""
    whole = "\0".join((table.tz, when, user or "", rest))
    digest = hashlib.sha256(whole.encode("utf-8", "replace")).hexdigest()[:10]
    word = re.sub(r"[^A-Za-z0-9]+", "-", rest.rpartition("/")[2][:24]).strip("-")
    found = f"{word or 'job'}-{digest}"
    count = table.seen[found] = table.seen.get(found, 0) + 1
    return found if count == 1 else f"{found}-{count}"


def _split(rest: str) -> tuple[str, str | None]:
    """Split a command at its first bare ``%``; what follows is standard input."""
    parts = re.split(r"(?<!\\)%", rest)
    parts = [part.replace("\\%", "%") for part in parts]
    if len(parts) == 1:
        return parts[0], None
    return parts[0].rstrip(), "\n".join(parts[1:]) + "\n"


def _trigger(when: str, tz: str) -> CronTrigger:
    if when.startswith("@"):
        return CronTrigger(when, tz=tz)
    fields = [
        _RANDOM.sub(partial(_drawn, bounds=bounds), text)
        for text, bounds in zip(when.split(), _BOUNDS, strict=True)
    ]
    day, weekday = fields[2], fields[4]
    either = not (day.startswith("*") or weekday.startswith("*"))
    bare = day == "*" or weekday == "*"
    return CronTrigger(" ".join(fields), tz=tz, day_or=either or bare)


def _drawn(found: re.Match[str], bounds: tuple[int, int]) -> str:
    """Write a random time as one that follows from the job's id."""
    first, last = found[1] or bounds[0], found[2] or bounds[1]
    return f"H({first}-{last}){found[3] or ''}"
