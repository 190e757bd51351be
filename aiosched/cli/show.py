"""``aiosched show``: all there is to know of a job, on one page."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from typing import Any

from aiosched._api.queries import RunningRun
from aiosched.cli.codes import CannotError, ExitCode
from aiosched.cli.place import place_of, work
from aiosched.cli.preview import preview_line
from aiosched.cli.printable import printable
from aiosched.cli.results import run_data, run_line
from aiosched.cli.tables import moment_text, print_pairs
from aiosched.enums import JobState
from aiosched.errors import JobNotFoundError
from aiosched.jobs import Job, Run
from aiosched.jobs.outlook import Preview
from aiosched.scheduler import Scheduler

__all__ = ["print_job"]

_NEXT, _LAST = 5, 5


@dataclass(frozen=True, slots=True)
class _View:
    """What is known of a job.

    Attributes:
        coming: The next fire times.
        runs: Those under way.
        last: The last outcomes, newest first.
        why: What became of its last slot, or will of its next, in a sentence.
    """

    job: Job
    coming: list[Preview]
    runs: list[RunningRun]
    last: list[Run]
    why: str


def print_job(words: argparse.Namespace) -> int:
    """Print it.

    Raises:
        CannotError: There is no such job (any more).
    """

    async def deed(scheduler: Scheduler) -> _View:
        try:
            job = await scheduler.get_job(words.job)
        except JobNotFoundError as error:
            raise await _gone(scheduler, words.job) or error from None
        runs = [run for run in await scheduler.running() if run.job_id == job.id]
        page = await scheduler.history(job.id, runs_only=True, limit=_LAST)
        last = [entry.run for entry in page if entry.run is not None]
        coming = await scheduler.preview(job.id, _NEXT, tz=words.tz)
        at = job.last_fire_time or job.next_fire_time
        why = "" if at is None else str(await scheduler.why(job.id, at))
        return _View(job, coming, runs, last, why)

    view = work(place_of(words), deed)
    if words.json:
        print(json.dumps(_data(view), indent=2, ensure_ascii=False))
    else:
        _print(view)
    return 0


async def _gone(scheduler: Scheduler, job_id: str) -> CannotError | None:
    state = await scheduler.state(job_id)
    word = {JobState.FINISHED: "has finished", JobState.REMOVED: "was removed"}
    if state not in word:
        return None
    return CannotError(
        f"job {job_id!r} {word[state]}; `aiosched history` says what became of it",
        ExitCode.NOT_FOUND,
    )


def _data(view: _View) -> dict[str, Any]:
    return {
        "job": view.job.to_dict(snapshot=True),
        "next": [one.to_dict() for one in view.coming],
        "running": [_running(run) for run in view.runs],
        "last": [run_data(run) for run in view.last],
        "why": view.why or None,
    }


def _running(run: RunningRun) -> dict[str, Any]:
    return {
        "key": run.key,
        "node": run.peer,
        "attempt": run.attempt,
        "fence": run.fence,
        "started": run.started_at.isoformat(),
        "lease_until": run.lease_until.isoformat(),
        "cancelling": run.cancelling,
        "reason": run.reason.value or None,
    }


def _print(view: _View) -> None:
    job = view.job
    print_pairs([*_state(job), *_definition(job)])
    _section("next", [preview_line(one) for one in view.coming])
    _section("running", [_running_line(run) for run in view.runs])
    _section("last outcomes", [run_line(run_data(run)) for run in view.last])
    _section("why", [view.why] if view.why else [])


def _section(title: str, lines: list[str]) -> None:
    print(f"\n{title}{'' if lines else ': none'}")
    for line in lines:
        print(f"  {printable(line)}")


def _running_line(run: RunningRun) -> str:
    words = f"{run.started_at.isoformat()}  attempt {run.attempt} on {run.peer}"
    if run.cancelling:
        words += f"  is being cancelled ({run.reason.value})"
    return f"{words}  lease until {run.lease_until.isoformat()}"


def _state(job: Job) -> list[tuple[str, str]]:
    state = job.state.value if job.state is not None else ""
    if job.pause_until is not None:
        state += f" until {moment_text(job.pause_until)}"
    if job.pause_note:
        state += f", because: {job.pause_note}"
    if job.unclaimable:
        state += f"; no live peer can run it ({job.unclaimable})"
    counts = {
        name: number
        for name, number in job.to_dict(snapshot=True)["counts"].items()
        if number
    }
    return [
        ("id", job.id),
        ("state", state),
        ("next fire time", moment_text(job.next_fire_time)),
        ("last fire time", moment_text(job.last_fire_time)),
        ("last outcome", job.last_outcome.value if job.last_outcome else ""),
        ("running", f"{job.running}, waiting {job.waiting}"),
        ("counts", ", ".join(f"{number} {name}" for name, number in counts.items())),
        ("created", moment_text(job.created_at)),
        ("version", str(job.version)),
    ]


def _definition(job: Job) -> list[tuple[str, str]]:
    """Return what departs from the defaults."""
    plain = job.to_dict()
    usual = Job("x", id="x").to_dict()
    hidden = {"id", "executor", "trigger", "paused"}
    pairs = [("executor", job.executor)]
    if job.trigger is not None:
        pairs.append(("trigger", job.trigger.describe()))
    for name, value in plain.items():
        if name in hidden or value == usual.get(name):
            continue
        text = (
            value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        )
        pairs.append((name.replace("_", " "), text))
    return pairs
