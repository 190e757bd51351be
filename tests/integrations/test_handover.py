"""From schedulers that run to aiosched: no slot is fired twice, and none is lost.

The real libraries fire, and are stopped; what they left is migrated, and aiosched
goes on.  What both have fired has to be the grid, each slot once.
"""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from aiosched import Scheduler
from aiosched.clock import SystemClock
from aiosched.instants import moment
from aiosched.integrations.importers import Found, Names
from aiosched.integrations.importers.apscheduler import (
    read_apscheduler_redis,
    read_apscheduler_sql,
)
from aiosched.integrations.importers.redbeat import read_redbeat
from aiosched.integrations.importers.rq_scheduler import read_rq_scheduler
from tests.integrations.importing import NAMED, Fired, work
from tests.waiting import wait_until

# What the others deprecate is theirs.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
_STEP = timedelta(seconds=0.25)
_ALL = Names({"*": "fired"})


def _now() -> datetime:
    return moment(SystemClock().wall())


@asynccontextmanager
async def _taken_over(url: str, found: Found) -> AsyncIterator[Fired]:
    """Import what was found, and run it."""
    fired = Fired()
    document = json.loads(json.dumps(found.document()))
    async with Scheduler(url, namespace="new", lease=2.0) as scheduler:
        scheduler.register(fired, name="fired")
        done = await scheduler.import_jobs(document, keep_state=True)
        assert len(done.created) == len(found.jobs)
        # A second time nothing is new.
        again = await scheduler.import_jobs(document, keep_state=True)
        assert set(again.unchanged) == set(done.created)
        yield fired


def _grid(slots: list[datetime], step: timedelta) -> list[datetime]:
    first, last = min(slots), max(slots)
    return [first + number * step for number in range((last - first) // step + 1)]


# --- APScheduler 3 ----------------------------------------------------------------


@contextmanager
def _stopped_apscheduler(store: Any, enough: int) -> Iterator[list[datetime]]:
    """Run the real one until it has submitted so many slots, and stop it.

    By ``pause()``: with ``shutdown()`` it closes its pool first and then looks at the
    store once more, so that what is due in this moment is moved on and never run.
    """
    from apscheduler.events import EVENT_JOB_SUBMITTED
    from apscheduler.schedulers.background import BackgroundScheduler

    submitted: list[datetime] = []
    over = threading.Event()

    def heard(event: Any) -> None:
        submitted.extend(event.scheduled_run_times)
        if len(submitted) >= enough:
            over.set()

    old = BackgroundScheduler(timezone="UTC", jobstores={"default": store})
    old.add_listener(heard, EVENT_JOB_SUBMITTED)
    old.add_job(
        NAMED,
        "interval",
        seconds=_STEP.total_seconds(),
        id="tick",
        coalesce=False,
        max_instances=50,
        misfire_grace_time=None,
    )
    old.start()
    try:
        assert over.wait(20)
        old.pause()
        old.get_jobs()  # waits for a look at the store that is under way
        yield [when.astimezone(UTC) for when in submitted]
    finally:
        old.remove_all_jobs()
        old.shutdown()


async def _check_apscheduler(url: str, store: Any, read: Callable[[], Found]) -> None:
    with _stopped_apscheduler(store, 3) as old:
        found = read()
        assert found.left_out == ()
        assert found.jobs[0].next == max(old) + _STEP
        async with _taken_over(url, found) as fired:
            await wait_until(
                lambda: len(fired.slots.get("tick", [])) >= 4, "four slots of ours"
            )
        assert read().jobs == found.jobs  # the old one has stood still meanwhile
    ours = fired.slots["tick"]
    assert min(ours) > max(old)
    assert sorted(old + ours) == _grid(old + ours, _STEP)


async def test_from_apscheduler_in_redis(a_server: str) -> None:
    pytest.importorskip("apscheduler")
    from apscheduler.jobstores.redis import RedisJobStore

    port = int(a_server.rpartition(":")[2].partition("/")[0])
    await _check_apscheduler(
        a_server,
        RedisJobStore(port=port),
        lambda: read_apscheduler_redis(a_server, at=_now(), names=_ALL),
    )


async def test_from_apscheduler_in_a_database(a_server: str, tmp_path: Path) -> None:
    pytest.importorskip("apscheduler")
    pytest.importorskip("sqlalchemy")
    from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore

    url = f"sqlite:///{tmp_path}/jobs.sqlite"
    await _check_apscheduler(
        a_server,
        SQLAlchemyJobStore(url),
        lambda: read_apscheduler_sql(url, at=_now(), names=_ALL),
    )


# --- rq-scheduler -----------------------------------------------------------------


@pytest.fixture
def rq(a_server: str) -> Iterator[Any]:
    """The real one, which a test moves by hand."""
    rq_scheduler = pytest.importorskip("rq_scheduler")
    with redis.Redis.from_url(a_server) as server:
        yield rq_scheduler.Scheduler(connection=server)


async def test_from_rq_scheduler(a_server: str, rq: Any) -> None:
    start = datetime.now(UTC)
    rq.schedule(start, work, interval=1, id="tick")
    rq.enqueue_at(start, work, job_id="fired-there")
    rq.enqueue_at(start + timedelta(seconds=2), work, job_id="fired-here")
    rq.schedule(start, work, interval=1, repeat=3, id="three")
    rq.enqueue_jobs()
    queued = rq.connection.lrange("rq:queue:default", 0, -1)
    assert sorted(queued) == [b"fired-there", b"three", b"tick"]
    # Here it is stopped; what it had in its set is what it has not fired.
    found = read_rq_scheduler(a_server, at=_now(), names=_ALL)
    assert found.running is None
    first = {one.job.id: one.next for one in found.jobs}
    assert set(first) == {"tick", "fired-here", "three"}
    async with _taken_over(a_server, found) as fired:
        await wait_until(
            lambda: (
                {k: len(v) for k, v in fired.slots.items() if k != "tick"}
                == {"fired-here": 1, "three": 2}
                and len(fired.slots.get("tick", [])) >= 3
            ),
            "what was left",
        )
    for name, slots in fired.slots.items():
        assert min(slots) == first[name]
        assert sorted(slots) == _grid(slots, timedelta(seconds=1))
    assert len(fired.slots["three"]) == 2  # of three, one was fired there
    # The old one's queue has nothing more than when it was stopped.
    assert rq.connection.lrange("rq:queue:default", 0, -1) == queued


# --- redbeat ----------------------------------------------------------------------


async def test_from_redbeat(a_server: str) -> None:
    pytest.importorskip("redbeat")
    from celery import Celery
    from celery.schedules import schedule
    from redbeat import RedBeatScheduler, RedBeatSchedulerEntry

    app = Celery("shop", broker="memory://")
    app.conf.update(redbeat_redis_url=a_server, timezone="UTC")
    app.task(name="shop.work")(work)
    RedBeatSchedulerEntry("tick", "shop.work", schedule(1, app=app), app=app).save()
    beat = RedBeatScheduler(app)
    beat.lock_key = None  # which a process of its own would hold, and let go
    sent: list[float] = []
    send = beat.apply_async

    def sending(entry: Any, **words: Any) -> Any:
        sent.append(entry.score)
        return send(entry, **words)

    beat.apply_async = sending

    def ticked() -> bool:
        beat.tick()
        return len(sent) >= 2

    await wait_until(ticked, "two tasks sent", poll=0.1)
    found = read_redbeat(a_server, at=_now(), names=_ALL)
    # Beside it is a task of Celery's own, at four in the morning.
    (one,) = [one for one in found.jobs if one.job.id == "tick"]
    assert found.running is None
    assert one.next.timestamp() > sent[-1]
    async with _taken_over(a_server, found) as fired:
        await wait_until(
            lambda: len(fired.slots.get("tick", [])) >= 2, "two slots of ours"
        )
    ours = fired.slots["tick"]
    assert min(ours) == one.next
    assert sorted(ours) == _grid(ours, timedelta(seconds=1))
