"""``aiosched schedule``: a job from words."""

from __future__ import annotations

import argparse
import json
from typing import Any

from aiosched.cli.codes import CannotError
from aiosched.cli.place import place_of, who, work
from aiosched.cli.printable import printable
from aiosched.cli.tables import moment_text
from aiosched.errors import InvalidInputError
from aiosched.jobs import Job
from aiosched.scheduler import Scheduler
from aiosched.triggers import CronTrigger, DateTrigger, IntervalTrigger, Trigger
from aiosched.triggers.base import trigger_from_data
from aiosched.triggers.inputs import parse_iso, read_wall, zone_name

__all__ = ["job_of_words", "print_scheduled"]

_FIELDS = (
    "id",
    "when",
    "keyword",
    "queue",
    "max_runs",
    "misfire_grace",
    "coalesce",
    "coalesce_limit",
    "overlap",
    "max_running",
    "jitter",
    "timeout",
    "retry",
    "on_lost",
    "max_lost",
    "keep",
    "keep_last",
    "keep_results",
    "note",
    "meta",
)


def print_scheduled(words: argparse.Namespace) -> int:
    """Store a job, and print it.

    Raises:
        CannotError: Words that do not go together.
        AioschedError: As ``Scheduler.schedule``.
    """
    place, job = place_of(words), job_of_words(words)

    async def deed(scheduler: Scheduler) -> Job:
        return await scheduler.schedule(
            job,
            on_conflict=words.on_conflict,
            again=words.again,
            allow_unknown=words.allow_unknown,
            by=words.by or who(),
        )

    stored = work(place, deed)
    if words.json:
        print(json.dumps(stored.to_dict(snapshot=True), indent=2, ensure_ascii=False))
        return 0
    state = "" if stored.state is None else f", {stored.state.value}"
    when = f"next {moment_text(stored.next_fire_time)}"
    if stored.next_fire_time is None:
        when = f"keyword {stored.keyword}" if stored.keyword else "nothing to come"
    print(printable(f"scheduled {stored.id} ({when}{state})"))
    return 0


def job_of_words(words: argparse.Namespace) -> Job:
    """Return the job that the words describe.

    Raises:
        CannotError: Words that do not go together.
        InvalidInputError: A value that cannot be used.
    """
    fields: dict[str, Any] = {
        name: getattr(words, name)
        for name in _FIELDS
        if getattr(words, name) is not None
    }
    if words.retries is not None:
        if words.retry is not None:
            raise CannotError("give --retry or --retries, not both")
        fields["retry"] = {"attempts": words.retries + 1}
    if words.tags:
        fields["tags"] = words.tags
    if words.paused:
        fields["paused"] = True
    trigger = _trigger(words)
    if trigger is not None:
        fields["trigger"] = trigger
    return Job(words.executor, words.args, words.kwargs or {}, **fields)


def _trigger(words: argparse.Namespace) -> Trigger | None:
    if words.tz is not None and words.cron is None and words.at is None:
        raise CannotError("--tz goes with --cron or --at")
    for name in ("start", "end"):
        if getattr(words, name) is not None and words.every is None:
            raise CannotError(f"--{name} goes with --every")
    if words.every is not None:
        bounds = {n: getattr(words, n) for n in ("start", "end") if getattr(words, n)}
        return IntervalTrigger(seconds=words.every.total_seconds(), **bounds)
    if words.cron is not None:
        return CronTrigger(words.cron, tz=words.tz or "UTC")
    if words.at is not None:
        return DateTrigger(_instant(words.at, words.tz))
    if words.trigger is not None:
        return trigger_from_data(words.trigger)
    return None


def _instant(text: str, tz: str | None) -> Any:
    try:
        if tz is None:
            found = parse_iso(text, "at")
            if found.utcoffset() is None:
                raise CannotError(
                    f"--at {text}: has no offset; write 2030-01-31T09:00+01:00, or say "
                    "whose wall time it is: --tz Europe/Paris"
                )
            return found
        return read_wall(text, zone_name(tz), "at")
    except InvalidInputError as error:
        raise CannotError(str(error)) from None
