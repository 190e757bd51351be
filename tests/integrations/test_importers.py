"""Schedules of other schedulers, read: what comes of each, and what does not."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import pickle
import sqlite3
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import redis

from aiosched import CronTrigger, IntervalTrigger, InvalidInputError, OrTrigger
from aiosched.integrations.importers import Found, Names, Schedule, Shadow, take
from aiosched.integrations.importers.apscheduler import (
    read_apscheduler_redis,
    read_apscheduler_sql,
)
from aiosched.integrations.importers.celery_beat import read_celery_beat
from aiosched.integrations.importers.crontab import read_crontab
from aiosched.integrations.importers.pickles import UnsafeError, read_pickle
from aiosched.integrations.importers.redbeat import read_redbeat
from aiosched.integrations.importers.rq_scheduler import read_rq_scheduler
from aiosched.integrations.importers.sources import KINDS, Source
from tests.cli.commands import aiosched
from tests.integrations.importing import (
    KEEP,
    NAMED,
    NOON,
    read_back,
    reasons,
    triggers,
    work,
)

RUN = Names({"command": "run_command"})
CRONTAB = """\
# m h dom mon dow command
SHELL=/bin/bash
*/5 * * * * /usr/bin/poll --fast
0 0 */2 * 1 both-days-must-match
0 0 1 * 1 one-day-is-enough
CRON_TZ=Europe/Paris
30 9 * * mon-fri report % Dear all, % 100\\% of it
0~59 3 * * * somewhen
@daily backup
@reboot warm-up
61 * * * * wrong
"""


# --- crontab ----------------------------------------------------------------------


def test_a_crontab() -> None:
    found = read_crontab(CRONTAB, at=NOON, names=RUN)
    jobs = {job.kwargs["command"]: job for job in read_back(found)}
    assert set(jobs) == {
        "/usr/bin/poll --fast",
        "both-days-must-match",
        "one-day-is-enough",
        "report",
        "somewhen",
        "backup",
    }
    assert {job.executor for job in jobs.values()} == {"run_command"}
    assert jobs["report"].kwargs["stdin"] == " Dear all, \n 100% of it\n"
    assert jobs["report"].kwargs["env"] == {"SHELL": "/bin/bash"}
    assert jobs["report"].trigger == CronTrigger("30 9 * * mon-fri", tz="Europe/Paris")
    assert jobs["backup"].trigger == CronTrigger("@daily", tz="Europe/Paris")
    assert jobs["both-days-must-match"].trigger == CronTrigger(
        "0 0 */2 * 1", day_or=False
    )
    assert jobs["one-day-is-enough"].trigger == CronTrigger("0 0 1 * 1")
    assert reasons(found).keys() == {"line 10", "line 11"}
    assert "@reboot is no schedule" in reasons(found)["line 10"]
    assert "61" in reasons(found)["line 11"]


def test_the_first_slot_of_a_crontab_is_after_the_hand_over() -> None:
    found = read_crontab("0 12 * * * noon\n", at=NOON, names=RUN)
    assert [one.next for one in found.jobs] == [NOON + timedelta(days=1)]
    early = NOON - timedelta(microseconds=1)
    found = read_crontab("0 12 * * * noon\n", at=early, names=RUN)
    assert [one.next for one in found.jobs] == [NOON]


def test_ids_of_a_crontab_follow_from_its_lines() -> None:
    lines = ["0 1 * * * a", "0 2 * * * a", "0 1 * * * a"]
    one = read_crontab("\n".join(lines), at=NOON, names=RUN)
    other = read_crontab("\n".join(["# new", "", *lines[::-1]]), at=NOON, names=RUN)
    assert len(one.jobs) == 3
    assert triggers(one) == triggers(other)


def test_a_crontab_of_the_system_has_users() -> None:
    line = "17 *\t* * *\troot\tcd / && run-parts /etc/cron.hourly\n"
    found = read_crontab(line, at=NOON, names=RUN, system=True)
    assert dict(found.jobs[0].job.kwargs) == {
        "command": "cd / && run-parts /etc/cron.hourly",
        "user": "root",
    }
    found = read_crontab("17 * * * * root\n", at=NOON, names=RUN, system=True)
    assert "no command follows the user" in reasons(found)["line 1"]


def test_a_zone_for_commands_is_not_one_for_times() -> None:
    found = read_crontab("TZ=Asia/Tokyo\n0 9 * * * x\n", at=NOON, names=RUN)
    assert found.jobs[0].next == NOON.replace(day=2, hour=9)
    assert "is for the command" in found.jobs[0].remarks[0]
    broken = read_crontab("CRON_TZ=Nowhere\n0 9 * * * x\n", at=NOON, names=RUN)
    assert "Nowhere" in reasons(broken)["line 2"]


# --- names ------------------------------------------------------------------------


def test_what_is_not_mapped_is_told() -> None:
    found = read_crontab("0 1 * * * a\n", at=NOON, names=Names())
    assert found.jobs == ()
    (reason,) = reasons(found).values()
    assert "map command=NAME" in reason


@pytest.mark.parametrize("ending", ["toml", "json"])
def test_a_table_of_names(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"names.{ending}"
    file.write_text({"toml": '"a:b" = "c"', "json": '{"a:b": "c"}'}[ending])
    names = Names.read(file, ["x.y=z", "k=w=v"], keep=False)
    assert [names.executor(name) for name in ("a:b", "x.y", "k=w", "other")] == [
        "c",
        "z",
        "v",
        None,
    ]
    assert Names({"*": "all"}, keep=True).executor("other") == "all"
    assert KEEP.executor("other") == "other"


@pytest.mark.parametrize("text", ["[1]", '{"a": 1}', "{", ""])
def test_a_table_of_names_that_is_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "names.json"
    file.write_text(text)
    with pytest.raises(InvalidInputError, match="map"):
        Names.read(file, keep=False)
    with pytest.raises(InvalidInputError, match="is no pair"):
        Names.read(None, ["nothing"], keep=False)


# --- what cannot be a job ---------------------------------------------------------


def test_nothing_is_dropped() -> None:
    every = IntervalTrigger(seconds=9)
    found = take(
        [
            Schedule("good", "f", every),
            Schedule("good", "f", every),
            Schedule("x" * 300, "f", every),
            Schedule("object", "f", every, args=(object(),)),
            Schedule("over", "f", IntervalTrigger(hours=1, start=NOON, end=NOON)),
        ],
        at=NOON,
        names=KEEP,
    )
    assert [one.job.id for one in found.jobs] == ["good"]
    said = reasons(found)
    assert "same id" in said["good"]
    assert "300 characters" in said["x" * 300]
    assert "args" in said["object"]
    assert "nothing is to come" in said["over"]
    assert len(found.document()["left_out"]) == 4


def test_arguments_that_change_are_told() -> None:
    every = IntervalTrigger(seconds=9)
    found = take(
        [
            Schedule("same", "f", every, args=(1, [2]), kwargs={"a": None}),
            Schedule("text", "f", every, args=(NOON,)),
            Schedule("list", "f", every, kwargs={"a": (1, 2)}),
        ],
        at=NOON,
        names=KEEP,
    )
    remarks = {one.job.id: len(one.remarks) for one in found.jobs}
    assert remarks == {"same": 0, "text": 1, "list": 1}
    assert "become JSON" in found.jobs[0].remarks[0]


def test_a_next_run_beside_the_grid_is_kept() -> None:
    soon = NOON + timedelta(minutes=7)
    found = take(
        [Schedule("odd", "f", CronTrigger("0 * * * *"), soon)], at=NOON, names=KEEP
    )
    (one,) = found.jobs
    assert isinstance(one.job.trigger, OrTrigger)
    assert one.job.trigger.upcoming(2, NOON) == [soon, NOON + timedelta(hours=1)]
    assert "is no fire time" in one.remarks[0]
    read_back(found)


# --- pickles ----------------------------------------------------------------------


class _Bomb:
    def __reduce__(self) -> Any:
        return os.mkdir, ("/nowhere/at/all",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_run_nothing(protocol: int) -> None:
    with pytest.raises(UnsafeError, match="mkdir"):
        read_pickle(pickle.dumps({"a": _Bomb()}, protocol))


@pytest.mark.parametrize(
    "data",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cos\nsystem\n(S'true'\ntR.",
        b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93\x8c\x04text\x8c\x05upper\x86R.",
        b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93"
        b"\x8c\x08zoneinfo\x8c\x08ZoneInfo\x93\x8c\x09__class__\x86R.",
        b"cdatetime\ndatetime.__subclasses__\n(tR.",
        b"P1\n.",
        b"\x80\x04",
        b"",
        b"no pickle",
    ],
)
def test_pickles_that_are_refused(data: bytes) -> None:
    with pytest.raises(UnsafeError):
        read_pickle(data)


def test_a_small_pickle_of_something_huge_is_refused() -> None:
    value: list[Any] = ["x"] * 10
    for _ in range(12):
        value = [value] * 10
    with pytest.raises(UnsafeError, match="parts"):
        read_pickle(pickle.dumps(value))


def test_no_pickle_changes_what_another_is_given() -> None:
    # BUILD sets attributes of the stand-in class; the next reading has a new one.
    change = b"capscheduler.triggers.date\nDateTrigger\n(N(S'kind'\nS'changed'\ndtb."
    with contextlib.suppress(UnsafeError):
        read_pickle(change)
    fresh = read_pickle(b"capscheduler.triggers.date\nDateTrigger\n(tR.")
    assert fresh.kind == "DateTrigger"


def test_plain_values_are_read() -> None:
    value = {
        "when": datetime(2030, 1, 1, tzinfo=ZoneInfo("Europe/Paris")),
        "utc": UTC,
        "some": ({1, 2}, frozenset("a"), [timedelta(1)], 1.5, None, b"x"),
    }
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert read_pickle(pickle.dumps(value, protocol)) == value


def test_a_trusted_pickle_may_name_anything() -> None:
    value = collections.Counter("aab")
    with pytest.raises(UnsafeError, match="Counter"):
        read_pickle(pickle.dumps(value))
    assert read_pickle(pickle.dumps(value), trust=True) == value


# --- APScheduler 3 ----------------------------------------------------------------


def _aps_jobs(store: Any) -> None:
    """Fill a store of APScheduler with one job of each kind, without running it."""
    from apscheduler.schedulers.background import BackgroundScheduler
    from apscheduler.triggers.combining import AndTrigger as ApsAnd
    from apscheduler.triggers.combining import OrTrigger as ApsOr
    from apscheduler.triggers.cron import CronTrigger as ApsCron

    scheduler = BackgroundScheduler(timezone="UTC", jobstores={"default": store})
    scheduler.start(paused=True)
    add = scheduler.add_job
    add(NAMED, "interval", seconds=90, id="each-90", args=[1], kwargs={"a": [2]})
    add(NAMED, "date", run_date=NOON, id="once")
    add(
        NAMED,
        "cron",
        id="cron",
        day_of_week="0-4",
        hour="9-17/2",
        minute="5,35-40",
        timezone="Europe/Paris",
        misfire_grace_time=300,
        coalesce=True,
        max_instances=3,
        name="a report",
    )
    add(NAMED, "cron", id="last-friday", day="last fri", hour=9)
    add(NAMED, "cron", id="both-days", day="1-7", day_of_week="mon", hour=0)
    add(NAMED, "cron", id="years", year="2031", hour=9)
    add(NAMED, "interval", hours=1, id="paused", next_run_time=None)
    add(NAMED, "interval", hours=1, id="shaken", jitter=30)
    add(NAMED, "cron", id="shaken-cron", minute="*/10", jitter=60)
    add(NAMED, "cron", id="at-once", hour=3, next_run_time=NOON)
    parts = [ApsCron(hour=h, timezone="UTC") for h in (6, 18)]
    add(NAMED, ApsOr(parts), id="either")
    both = [
        ApsCron(day="1-7", hour=4, timezone="UTC"),
        ApsCron(hour="4", timezone="UTC"),
    ]
    add(NAMED, ApsAnd(both), id="both")
    add(NAMED, "calendarinterval", months=1, hour=8, id="monthly")
    add(NAMED, "interval", hours=1, id="object", args=[_Bomb()])
    scheduler.shutdown()


def _check_aps(found: Found, next_runs: dict[str, datetime | None]) -> None:
    assert set(reasons(found)) == {"years", "object"}, reasons(found)
    assert "year" in reasons(found)["years"]
    assert "mkdir" in reasons(found)["object"]
    jobs = {job.id: job for job in read_back(found)}
    assert set(jobs) | {"years", "object"} == set(next_runs)
    for one in found.jobs:
        theirs = next_runs[one.job.id]
        if one.job.id == "shaken-cron":  # its slot, not where the jitter put it
            assert theirs is not None
            assert timedelta(0) <= theirs - one.next <= timedelta(seconds=60)
            assert one.job.trigger == CronTrigger("*/10 * * * *", day_or=False)
            continue
        assert one.next == theirs or (theirs is None and one.job.paused)
    assert all(job.executor == "do" for job in jobs.values())
    assert jobs["each-90"].args == (1,)
    assert jobs["each-90"].kwargs == {"a": [2]}
    cron = jobs["cron"]
    assert cron.trigger == CronTrigger(
        "5,35-40 9-17/2 * * mon,tue,wed,thu,fri", tz="Europe/Paris", day_or=False
    )
    assert (cron.misfire_grace, cron.max_running, cron.note) == (
        timedelta(seconds=300),
        3,
        "a report",
    )
    assert jobs["last-friday"].trigger is not None
    assert jobs["last-friday"].trigger.describe().startswith("at 09:00 on the last Fri")
    assert jobs["shaken"].jitter == timedelta(seconds=30)
    assert isinstance(jobs["at-once"].trigger, OrTrigger)


def _aps_next_runs(store: Any) -> dict[str, datetime | None]:
    from apscheduler.schedulers.background import BackgroundScheduler

    scheduler = BackgroundScheduler(timezone="UTC", jobstores={"default": store})
    scheduler.start(paused=True)
    found = {job.id: job.next_run_time for job in scheduler.get_jobs()}
    scheduler.shutdown()
    return found


_DO = Names({NAMED: "do"})


def test_apscheduler_in_redis(a_server: str) -> None:
    pytest.importorskip("apscheduler")
    from apscheduler.jobstores.redis import RedisJobStore

    port = int(a_server.rpartition(":")[2].partition("/")[0])
    _aps_jobs(RedisJobStore(port=port))
    with redis.Redis(port=port) as server:
        before = server.dump("apscheduler.jobs"), server.dump("apscheduler.run_times")
        found = read_apscheduler_redis(a_server, at=NOON, names=_DO)
        after = server.dump("apscheduler.jobs"), server.dump("apscheduler.run_times")
        assert before == after
        server.hdel("apscheduler.jobs", "object")  # which APScheduler would run
    next_runs = _aps_next_runs(RedisJobStore(port=port)) | {"object": None}
    _check_aps(found, next_runs)
    again = read_apscheduler_redis(a_server, at=NOON, names=_DO)
    assert again.document()["jobs"] == found.document()["jobs"]


def test_apscheduler_in_a_database(tmp_path: Path) -> None:
    pytest.importorskip("apscheduler")
    pytest.importorskip("sqlalchemy")
    from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore

    file = tmp_path / "jobs.sqlite"
    url = f"sqlite:///{file}"
    _aps_jobs(SQLAlchemyJobStore(url))
    content = file.read_bytes()
    found = read_apscheduler_sql(str(file), at=NOON, names=_DO)
    # The same through SQLAlchemy, as other databases are read.
    other = read_apscheduler_sql(f"sqlite+pysqlite:///{file}", at=NOON, names=_DO)
    assert found == read_apscheduler_sql(url, at=NOON, names=_DO) == other
    assert file.read_bytes() == content
    with sqlite3.connect(file) as database:
        database.execute("DELETE FROM apscheduler_jobs WHERE id = 'object'")
    database.close()
    _check_aps(found, _aps_next_runs(SQLAlchemyJobStore(url)) | {"object": None})


def test_a_database_that_is_none(tmp_path: Path) -> None:
    for url in (str(tmp_path / "none"), f"sqlite:///{tmp_path}/none"):
        with pytest.raises(InvalidInputError, match="is no file"):
            read_apscheduler_sql(url, at=NOON, names=_DO)
    text = tmp_path / "text"
    text.write_text("text")
    with pytest.raises(InvalidInputError, match="cannot be read"):
        read_apscheduler_sql(str(text), at=NOON, names=_DO)
    with pytest.raises(InvalidInputError, match="table"):
        read_apscheduler_sql(str(text), at=NOON, names=_DO, table="a; b")


# --- rq-scheduler -----------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_rq_scheduler(a_server: str) -> None:
    pytest.importorskip("rq_scheduler")
    from rq_scheduler import Scheduler as RqScheduler

    soon = datetime(2030, 1, 1, 12, 30, 5)  # noqa: DTZ001 - as it is there
    with redis.Redis.from_url(a_server) as server:
        old = RqScheduler(connection=server, queue_name="mail")
        old.schedule(
            soon, work, args=[1], kwargs={"a": 2}, interval=60, repeat=3, id="three"
        )
        old.schedule(soon, work, interval=10, id="for-ever", timeout=30)
        old.enqueue_at(soon, work, "x", job_id="once")
        old.enqueue_at(soon, work, _Bomb(), job_id="object")
        old.cron("0 9 1 * 1", work, id="cron")
        old.enqueue_at(soon, work, job_id="expired")
        server.delete("rq:job:expired")
        scores = dict(
            server.zrange("rq:scheduler:scheduled_jobs", 0, -1, withscores=True)
        )
        found = read_rq_scheduler(a_server, at=NOON, names=KEEP)
        assert found.running is None
        jobs = {job.id: job for job in read_back(found)}
        assert set(jobs) == {"three", "for-ever", "once", "cron"}
        assert set(reasons(found)) == {"object", "expired"}
        assert jobs["three"].max_runs == 3
        assert jobs["three"].executor == "tests.integrations.importing.work"
        assert (jobs["three"].args, jobs["three"].kwargs) == ((1,), {"a": 2})
        assert jobs["for-ever"].timeout == timedelta(seconds=30)
        for one in found.jobs:
            assert one.next.timestamp() == scores[one.job.id.encode()]
            assert "the queue mail" in one.remarks[0]
        assert old.acquire_lock()
        found = read_rq_scheduler(a_server, at=NOON, names=KEEP)
        assert "rq:scheduler_lock" in str(found.running)
        old.remove_lock()
        old.register_birth()
        found = read_rq_scheduler(a_server, at=NOON, names=KEEP)
        assert "is alive" in str(found.running)
        old.register_death()
        assert read_rq_scheduler(a_server, at=NOON, names=KEEP).running is None


def test_rq_jobs_as_json_and_broken_ones(a_server: str) -> None:
    with redis.Redis.from_url(a_server) as server:
        data = json.dumps(["m.f", None, [1], {}]).encode()
        rows: dict[str, dict[str, bytes]] = {
            "json": {"data": zlib.compress(data), "meta": b'{"interval": 5}'},
            "plain": {"data": data},
            "method": {"data": json.dumps(["m.f", "it", [], {}]).encode()},
            "short": {"data": b'["m.f"]'},
            "torn": {"data": zlib.compress(data)[:-9]},
            "huge": {"data": zlib.compress(b"x" * 9_000_000)},
        }
        for name, row in rows.items():
            server.hset(f"rq:job:{name}", mapping=dict(row))
            server.zadd("rq:scheduler:scheduled_jobs", {name: NOON.timestamp()})
        found = read_rq_scheduler(a_server, at=NOON, names=KEEP)
    assert {job.id for job in read_back(found)} == {"json", "plain"}
    assert set(reasons(found)) == {"method", "short", "torn", "huge"}


# --- Celery -----------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_redbeat(a_server: str) -> None:
    pytest.importorskip("redbeat")
    from celery import Celery
    from celery.schedules import crontab, schedule
    from redbeat import RedBeatSchedulerEntry
    from redbeat.schedules import rrule

    app = Celery("shop", broker="memory://")
    app.conf.update(redbeat_redis_url=a_server, timezone="Europe/Paris")
    start = datetime(2030, 1, 1, 9, tzinfo=UTC)
    entries = {
        "every-30": schedule(30, app=app),
        "mondays": crontab(hour=7, minute=30, day_of_week="mon", app=app),
        "firsts": rrule("MONTHLY", dtstart=start, bymonthday=1),
        "off": schedule(60, app=app),
    }
    for name, when in entries.items():
        entry = RedBeatSchedulerEntry(
            name,
            "shop.work",
            when,
            args=[1],
            kwargs={"a": 2},
            app=app,
            enabled=name != "off",
            options={"queue": "slow"},
        )
        entry.save()
        entry.reschedule()
    with redis.Redis.from_url(a_server) as server:
        scores = dict(server.zrange("redbeat::schedule", 0, -1, withscores=True))
        server.hset("redbeat:broken", "definition", "{}")
        server.zadd("redbeat::schedule", {"redbeat:broken": 1, "redbeat:gone": 1})
    found = read_redbeat(a_server, at=NOON, names=KEEP, tz="Europe/Paris")
    jobs = {job.id: job for job in read_back(found)}
    assert set(jobs) == set(entries)
    assert set(reasons(found)) == {"broken", "gone"}
    assert jobs["mondays"].trigger == CronTrigger(
        "30 7 * * mon", tz="Europe/Paris", day_or=False
    )
    assert jobs["off"].paused
    assert (jobs["off"].args, jobs["off"].kwargs) == ((1,), {"a": 2})
    for one in found.jobs:
        # Scores are cut to seconds, which would be a second too early for cron.
        ahead = one.next.timestamp() - scores[f"redbeat:{one.job.id}".encode()]
        assert 0 <= ahead < 1.1
        assert "queue='slow'" in one.remarks[0]
    with redis.Redis.from_url(a_server) as server:
        server.set("redbeat::lock", "x")
    again = read_redbeat(a_server, at=NOON, names=KEEP, tz="Europe/Paris")
    assert "redbeat::lock" in str(again.running)


class crontab:  # noqa: N801 - what Celery calls it
    """As much of Celery's class as is looked at."""

    def __init__(self, **fields: Any) -> None:
        for name in (
            "minute",
            "hour",
            "day_of_week",
            "day_of_month",
            "month_of_year",
        ):
            setattr(self, f"_orig_{name}", fields.get(name, "*"))


def _beat(made: Any) -> dict[str, Any]:
    return {
        "often": {"task": "t.often", "schedule": 30.0, "args": (1,)},
        "delta": {"task": "t.delta", "schedule": timedelta(minutes=5)},
        "night": {
            "task": "t.night",
            "schedule": made(minute=0, hour=[1, 3], day_of_week="sun"),
            "options": {"expires": 600},
        },
        "sun": {"task": "t.sun", "schedule": object()},
        "none": {"schedule": 1},
    }


@pytest.mark.parametrize("real", [False, True])
def test_celery_beat(real: bool) -> None:  # noqa: FBT001
    made: Any = crontab
    if real:
        pytest.importorskip("celery")
        from celery.schedules import crontab as made
    found = read_celery_beat(_beat(made), at=NOON, names=KEEP, tz="Europe/Paris")
    jobs = {job.id: job for job in read_back(found)}
    assert set(jobs) == {"often", "delta", "night"}
    assert set(reasons(found)) == {"sun", "none"}
    assert jobs["night"].trigger == CronTrigger(
        "0 1,3 * * sun", tz="Europe/Paris", day_or=False
    )
    assert jobs["night"].misfire_grace == timedelta(seconds=600)
    later = read_celery_beat(
        _beat(made), at=NOON + timedelta(hours=5), names=KEEP, tz="Europe/Paris"
    )
    # The same definitions whenever it is read, so that a second import is a no-op.
    assert [one.job for one in later.jobs] == [one.job for one in found.jobs]
    assert all(one.next > later.at for one in later.jobs)


# --- the shadow -------------------------------------------------------------------


def _seen(*looks: tuple[list[Schedule], datetime]) -> list[tuple[str, str, datetime]]:
    shadow = Shadow()
    sights = []
    for schedules, now in looks:
        found = take(schedules, at=now, names=KEEP)
        sights += [(one.word, one.job, one.at) for one in shadow.look(found, now)]
    return sights


def _minute(number: int) -> datetime:
    return NOON + timedelta(minutes=number)


def _each(minutes: int, following: int | None) -> list[Schedule]:
    trigger = IntervalTrigger(minutes=minutes, start=NOON)
    due = None if following is None else _minute(following)
    return [Schedule("j", "f", trigger, due)]


def test_a_shadow_that_agrees() -> None:
    seen = _seen(
        (_each(1, 1), _minute(0)),
        (_each(1, 1), _minute(1)),
        (_each(1, 1), _minute(1) + timedelta(seconds=1)),
        (_each(1, 2), _minute(1) + timedelta(seconds=2)),
    )
    assert seen == [("waiting", "j", _minute(1)), ("both", "j", _minute(1))]


def test_a_shadow_that_does_not_agree() -> None:
    assert _seen((_each(1, 1), _minute(0)), (_each(1, 4), _minute(3))) == [
        ("both", "j", _minute(1)),
        ("ours", "j", _minute(2)),
        ("ours", "j", _minute(3)),
    ]
    odd = [Schedule("j", "f", IntervalTrigger(minutes=1, start=NOON), _minute(4))]
    odd_later = NOON + timedelta(seconds=90)
    trigger = IntervalTrigger(minutes=1, start=odd_later)
    seen = _seen(
        (_each(1, 1), _minute(0)),
        ([Schedule("j", "f", trigger, odd_later)], _minute(1)),
    )
    assert seen == [("both", "j", _minute(1)), ("theirs", "j", odd_later)]
    late = _minute(2) + timedelta(seconds=1)
    trigger = IntervalTrigger(minutes=1, start=late)
    polled = [Schedule("j", "f", trigger, late)]
    assert _seen((_each(1, 1), _minute(0)), (polled, _minute(1))) == [
        ("both", "j", _minute(1)),
        ("drift", "j", late),
    ]
    assert _seen((odd, _minute(0)), ([], _minute(1))) == [("gone", "j", _minute(1))]
    assert _seen(([], _minute(0)), (odd, _minute(1))) == [("new", "j", _minute(1))]


def test_a_shadow_of_what_keeps_no_state() -> None:
    assert _seen((_each(1, None), _minute(0)), (_each(1, None), _minute(2))) == [
        ("ours", "j", _minute(1)),
        ("ours", "j", _minute(2)),
    ]


# --- the command line -------------------------------------------------------------


def test_migrate_writes_a_document(tmp_path: Path) -> None:
    table = tmp_path / "table"
    table.write_text(CRONTAB)
    out = tmp_path / "jobs.json"
    words = ("migrate", "crontab", str(table), "--map", "command=run", "-o", str(out))
    done = aiosched(*words, "--at", NOON.isoformat())
    assert done.returncode == 1, done.stderr
    assert done.stdout == f"6 jobs in {out}\n"
    assert "line 10 is left out: @reboot" in done.stderr
    document = json.loads(out.read_text())
    assert (document["format"], document["version"]) == ("aiosched.jobs", 1)
    assert len(document["jobs"]) == 6
    assert len(document["left_out"]) == 2
    good = tmp_path / "good"
    good.write_text("0 1 * * * x\n")
    done = aiosched("migrate", "crontab", str(good), "--keep-names")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["jobs"][0]["job"]["executor"] == "command"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("crontab", "/nowhere"), "cannot be read"),
        (("crontab", "-", "--tz", "Nowhere"), "Nowhere"),
        (("crontab", "-", "--map", "x"), "is no pair"),
        (("redbeat", "redis://127.0.0.1:1"), "cannot be read"),
        (("rq-scheduler", "nothing"), "source"),
        (("apscheduler", "/nowhere"), "is no file"),
        (("celery-beat", "nowhere:app"), "nowhere"),
        (("elsewhere", "-"), "invalid choice"),
    ],
)
def test_migrate_says_what_is_wrong(words: tuple[str, ...], said: str) -> None:
    done = aiosched("migrate", *words)
    assert done.returncode == (5 if "127.0.0.1" in words[1] else 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_kinds_are_those_of_the_command_line() -> None:
    from aiosched.cli.migrate_options import KINDS as WORDS

    assert tuple(KINDS) == WORDS
    with pytest.raises(InvalidInputError, match="is not known"):
        Source("elsewhere", "-").read(NOON)


def test_shadow_watches(a_server: str) -> None:
    with redis.Redis.from_url(a_server) as server:
        data = json.dumps(["m.f", None, [], {}]).encode()
        server.hset("rq:job:one", mapping={"data": data, "meta": b'{"interval": 1}'})
        server.zadd("rq:scheduler:scheduled_jobs", {"one": 1_000_000_000})
        words = ("shadow", "rq-scheduler", a_server, "--keep-names")
        done = aiosched(*words, "--every", "0.2", "--seconds", "0.7")
    assert done.returncode == 0, done.stderr
    (line,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert (line["word"], line["job"]) == ("waiting", "one")
    assert "1 waiting" in done.stderr
