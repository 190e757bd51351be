"""How large everything may be: as the page says, and no larger."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

from aiosched import CronTrigger, Job, MemoryJobStore, Retry, RRuleTrigger, Scheduler
from aiosched.errors import (
    ArgumentsError,
    ConfigurationError,
    InvalidInputError,
    TooManyWaitingError,
    TriggerError,
)
from aiosched.messages import MAX_BATCH
from aiosched.results import MAX_RESULT, describe_error, dump_result
from tests.docs.pages import DOCS

PAGE = "reference/limits.md"
Make = Callable[[int], Any]


def _rule(size: int) -> RRuleTrigger:
    text = "FREQ=DAILY;BYHOUR=9"
    return RRuleTrigger(text + ",9" * ((size - len(text)) // 2), start="2030-01-01")


def _cron(size: int) -> CronTrigger:
    return CronTrigger("5" + ",5" * ((size - 10) // 2) + " * * * *")


def _days(number: int) -> object:
    days = [
        f"{2000 + n // 336}-{n // 28 % 12 + 1:02}-{n % 28 + 1:02}"
        for n in range(number)
    ]
    return CronTrigger("0 0 * * *").excluding(*days)


def _meta(size: int) -> Job:
    return Job("work", meta={"a": "x" * (size - len('{"a":""}'))})


REFUSED: dict[str, tuple[type[Exception], Make]] = {
    "id of a job": (ConfigurationError, lambda n: Job("work", id="x" * n)),
    "name of an executor, tag, fire id, `by`": (
        ConfigurationError,
        lambda n: Job("x" * n, tags=("y" * n,)),
    ),
    "keyword": (ConfigurationError, lambda n: Job("work", keyword="x" * n)),
    "queue": (ConfigurationError, lambda n: Job("work", queue="x" * n)),
    "name of a guard": (ConfigurationError, lambda n: Scheduler().guard("x" * n)),
    "time of a guard": (
        ConfigurationError,
        lambda n: Scheduler().guard("x", ttl=timedelta(days=n)),
    ),
    "namespace": (ConfigurationError, lambda n: Scheduler(namespace="x" * n)),
    "note": (ConfigurationError, lambda n: Job("work", note="x" * n)),
    "tags of a job": (
        ConfigurationError,
        lambda n: Job("work", tags=[str(one) for one in range(n)]),
    ),
    "exceptions of a retry rule": (
        ConfigurationError,
        lambda n: Retry(3, errors=tuple(f"E{one}" for one in range(n))),
    ),
    "meta": (ConfigurationError, _meta),
    "runs of a job at a time": (
        ConfigurationError,
        lambda n: Job("work", overlap="allow", max_running=n),
    ),
    "any duration": (ConfigurationError, lambda n: Job("work", timeout=timedelta(n))),
    "cron expression": (TriggerError, _cron),
    "recurrence rule": (TriggerError, _rule),
    "days that are left out of a trigger": (TriggerError, _days),
}
STORED = {
    "arguments of a job",
    "payload of a fire",
    "digits of a whole number in any of them",
    "firings of a job that wait",
}
CUT = {
    "result of a run",
    "message of a run's error",
    "traceback of a run's error",
    "jobs in one transaction of a bulk verb",
    "note of a run's progress",
}


def limits() -> dict[str, int]:
    """Return what the page says."""
    text = (DOCS / PAGE).read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+?) \| ([\d,]+)[^|]*\|", text, re.MULTILINE)
    return {what: int(most.replace(",", "")) for what, most in rows}


def test_every_limit_is_tried() -> None:
    assert limits().keys() == REFUSED.keys() | STORED | CUT


@pytest.mark.parametrize("what", REFUSED)
def test_one_more_is_refused(what: str) -> None:
    error, make = REFUSED[what]
    most = limits()[what]
    make(most)
    more = most + 2 if what in {"cron expression", "recurrence rule"} else most + 1
    with pytest.raises(error) as caught:
        make(more)
    assert isinstance(caught.value, InvalidInputError)
    assert len(str(caught.value)) < 500


@pytest.mark.virtual(timeout=1_000)
async def test_arguments_and_payloads() -> None:
    most = limits()["arguments of a job"]
    assert most == limits()["payload of a fire"]
    async with Scheduler(MemoryJobStore()) as scheduler:

        @scheduler.executor
        async def work(text: str = "", **more: Any) -> None: ...

        around = len('[[],{"text":""}]')
        Call = Callable[[], Coroutine[Any, Any, object]]  # noqa: N806 - it is a type
        text = "x" * (most - around)
        await scheduler.schedule(Job("work", kwargs={"text": text}, paused=True))
        await scheduler.schedule(Job("work", keyword="word", paused=True, id="a"))
        await scheduler.fire_job("word", "x" * (most - 2))
        digits = 10 ** limits()["digits of a whole number in any of them"]
        await scheduler.fire_job("word", digits - 1)
        calls: list[Call] = [
            lambda: scheduler.schedule(Job("work", kwargs={"text": text + "x"})),
            lambda: scheduler.fire_job("word", "x" * (most - 1)),
            lambda: scheduler.fire_job("word", digits),
        ]
        for call in calls:
            with pytest.raises(ArgumentsError):
                await call()
        waiting = limits()["firings of a job that wait"]
        for _ in range(waiting - 2):
            await scheduler.fire_job("word")
        with pytest.raises(TooManyWaitingError):
            await scheduler.fire_job("word")


def test_what_is_cut() -> None:
    said = limits()
    assert said["result of a run"] == MAX_RESULT
    assert said["jobs in one transaction of a bulk verb"] == MAX_BATCH
    fits = "x" * (MAX_RESULT - 2)
    assert json.loads(dump_result(fits)) == fits
    assert list(json.loads(dump_result(fits + "x"))) == ["$repr"]
    error = json.loads(describe_error(ValueError("x" * 10_000)))
    assert len(error["message"]) == said["message of a run's error"]
    assert len(error["traceback"]) == said["traceback of a run's error"]
