"""A scheduler in a Flask application, on real servers: S2-01, S2-05, S2-F01 to F14."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, current_app

from aiosched import (
    BackgroundScheduler,
    ConfigurationError,
    Event,
    InvalidInputError,
    Job,
    SchedulerStateError,
    every,
)
from aiosched.integrations.flask import FlaskScheduler
from tests import servers
from tests.background.scripts import ONE, ROOT, Program, program
from tests.waiting import wait_until

EXAMPLES = ROOT / "examples" / "flask"
SOON = 10.0
on_one = pytest.mark.parametrize("server", ONE, indirect=True, scope="session")


# --- servers ------------------------------------------------------------------------


class Web:
    """A running web application."""

    def __init__(self, running: Program, port: int) -> None:
        self.running = running
        self._base = f"http://127.0.0.1:{port}"

    def ask(self, path: str, method: str = "GET") -> Any:
        """Send a request and return the JSON that it answers, whatever its code."""
        request = urllib.request.Request(self._base + path, method=method)
        try:
            with urllib.request.urlopen(request, timeout=SOON) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)


def served(name: str, *, cwd: Path = EXAMPLES, **env: str) -> Any:
    """Run an example by Flask's own server."""
    port = servers.free_port()
    running = program("", str(cwd / name), module=True, PORT=str(port), **env)
    return _Serving(running, port, "Running on")


def gunicorn(name: str, *words: str, **env: str) -> Any:
    """Run an example by gunicorn with two workers."""
    port = servers.free_port()
    start = ("-m", "gunicorn", "-w", "2", "-b", f"127.0.0.1:{port}", *words, name)
    running = program("", *start, module=True, cwd=EXAMPLES, **env)
    return _Serving(running, port, "[", "Listening at")


class _Serving:
    """Enters a program, and waits until it listens: requests then wait for it."""

    def __init__(self, running: Any, port: int, *marks: str) -> None:
        self._running = running
        self._port = port
        self._mark = marks[-1]

    def __enter__(self) -> Web:
        started: Program = self._running.__enter__()
        line = ""
        while self._mark not in line:
            line = started.line()
            assert line or started.process.poll() is None, "it has ended"
        return Web(started, self._port)

    def __exit__(self, *error: object) -> None:
        self._running.__exit__(*error)


def lines_of(path: Path, name: str) -> list[tuple[str, int]]:
    """Return the application and process of each run that was noted in a file."""
    if not path.exists():
        return []
    split = [line.split() for line in path.read_text().splitlines()]
    return [(app, int(pid)) for what, app, pid in split if what == name]


def until(path: Path, name: str, count: int) -> list[tuple[str, int]]:
    """Wait for so many runs."""
    enough = wait_until(
        lambda: len(lines_of(path, name)) >= count, f"{count} of {name}"
    )
    asyncio.run(enough)
    return lines_of(path, name)


def runs_of(url: str, job_id: str) -> list[str]:
    """Return the keys of the runs that are in the ledger."""
    with BackgroundScheduler(url, run_jobs=False) as client:
        rows = client.history(job_id, kind="succeeded", limit=1000)
        return [row.run.key for row in rows if row.run is not None]


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    """The first example, in memory."""
    with served("app.py") as found:
        yield found


@pytest.mark.seed("S2-01", "S2-05")
def test_an_application_has_a_scheduler(web: Web) -> None:
    about = web.ask("/scheduler")
    assert about["ok"] is True
    assert about["pid"] == web.running.process.pid


@pytest.mark.seed("S2-05")
def test_the_folder_says_what_it_needs() -> None:
    """``pip install -r`` from the top of a checkout, and nothing beside it."""
    said = (EXAMPLES / "requirements.txt").read_text().splitlines()
    assert [line for line in said if not line.startswith("#")] == [".[flask]"]


@pytest.mark.seed("S2-F01", "S2-F02")
def test_configuration_and_jobs_come_from_the_config(web: Web) -> None:
    jobs = web.ask("/scheduler/jobs")
    assert set(jobs) >= {"j1", "j2"}
    # 03:00 in Rome, which is the zone of the configuration.
    assert jobs["j2"].split()[4] in ("01:00:00", "02:00:00")


@pytest.mark.seed("S2-F10")
def test_adding_twice_leaves_one(web: Web) -> None:
    assert [web.ask("/add")["id"] for _ in range(2)] == ["added", "added"]
    assert list(web.ask("/scheduler/jobs")).count("added") == 1


@pytest.mark.seed("S2-F11")
def test_running_now_leaves_the_schedule_as_it_is(web: Web) -> None:
    before = web.ask("/scheduler/jobs")["j2"]
    answer = web.ask("/scheduler/jobs/j2/run", "POST")
    assert answer == {"result": "hello bob from shop"}
    assert web.ask("/scheduler/jobs")["j2"] == before
    assert "no job has the id" in web.ask("/scheduler/jobs/no/run", "POST")["error"]


@pytest.mark.seed("S2-F14")
def test_a_start_in_the_past_anchors_the_grid(web: Web) -> None:
    at = web.ask("/scheduler/jobs")["j1"]
    fire_time = datetime.strptime(at, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    assert (fire_time - datetime(2000, 1, 1, tzinfo=UTC)).total_seconds() % 10 == 0
    assert fire_time > datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.seed("S2-F06", "S2-F08", "S2-F07")
def test_the_reloader_runs_no_job_twice(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "decorated.py", tmp_path)
    ran = tmp_path / "ran"
    with served("decorated.py", cwd=tmp_path, RAN=str(ran), DEBUG="1") as web:
        until(ran, "job1", 3)
        answer = web.ask("/scheduler/jobs")
        assert set(answer["jobs"]) == {"job1", "job2", "job3"}
        first = answer["pid"]
        assert first != web.running.process.pid
        assert set(lines_of(ran, "job1")) == {("decorated", first)}
        # The file changes: a new child serves, and the old one is gone.
        source = tmp_path / "decorated.py"
        source.write_text(source.read_text() + "\n# changed\n")
        web.running.until(" * Restarting")
        asyncio.run(
            wait_until(
                lambda: lines_of(ran, "job1")[-1][1] != first, "runs of the new child"
            )
        )
        second = web.ask("/scheduler/jobs")["pid"]
        pids = [pid for _, pid in until(ran, "job1", 6)]
        assert second not in (first, web.running.process.pid)
        assert pids == sorted(pids, key=[first, second].index)


@pytest.mark.seed("S2-F08")
def test_the_flask_command_runs_jobs_in_the_reloaders_child_only(
    tmp_path: Path,
) -> None:
    ran, port = tmp_path / "ran", servers.free_port()
    words = ("-m", "flask", "--app", "decorated", "--debug", "run", "-p", str(port))
    running = program("", *words, module=True, cwd=EXAMPLES, RAN=str(ran))
    with _Serving(running, port, "Running on") as web:
        assert until(ran, "job1", 3)
        child = web.ask("/scheduler/jobs")["pid"]
        assert child != web.running.process.pid
        assert {pid for _, pid in lines_of(ran, "job1")} == {child}


def test_other_flask_commands_run_nothing(tmp_path: Path) -> None:
    code = (
        "from decorated import scheduler; "
        "print(sorted(job.id for job in scheduler.get_jobs()), "
        "scheduler.scheduler.run_jobs)"
    )
    ran = tmp_path / "ran"
    with program(
        "",
        *("-m", "flask", "--app", "decorated", "shell"),
        module=True,
        cwd=EXAMPLES,
        RAN=str(ran),
    ) as running:
        running.say(code)
        running.say("import os; raise SystemExit(3)")
        status, out = running.end()
    assert (status, "['job1', 'job2', 'job3'] False" in out) == (3, True), out
    assert not ran.exists()


@on_one
@pytest.mark.seed("S2-F12", "S2-F13", "S2-F07")
@pytest.mark.parametrize("words", [(), ("--preload",)], ids=["workers", "preload"])
def test_any_number_of_workers_run_each_slot_once(
    redis_url: str, tmp_path: Path, words: tuple[str, ...]
) -> None:
    ran = tmp_path / "ran"
    env = {"RAN": str(ran), "AIOSCHED_STORE": redis_url}
    for restart in (1, 2):  # what is declared is declared again, and there once
        with gunicorn("decorated:app", *words, **env) as web:
            found = until(ran, "job1", 4 * restart)
            answer = web.ask("/scheduler/jobs")
            assert set(answer["jobs"]) == {"job1", "job2", "job3"}
            master = web.running.process.pid
            assert master not in {pid for _, pid in found}
            with BackgroundScheduler(redis_url, run_jobs=False) as client:
                events = client.events("peer_joined")
                while len(client.peers()) < 3:  # two workers, and this one
                    next(events)
            web.running.signal(signal.SIGTERM)
            assert web.running.end()[0] == 0
        keys = runs_of(redis_url, "job1")
        assert len(keys) == len(set(keys)) == len(lines_of(ran, "job1"))
    assert {app for app, _ in lines_of(ran, "job1")} == {"decorated"}


@pytest.mark.seed("S2-F09", "S2-F07")
def test_listeners_hear_in_the_context_of_the_application() -> None:
    with served("factory.py") as web:
        assert web.ask("/jobs/work", "POST") == {"outcome": "succeeded"}
        assert web.ask("/jobs/fail", "POST") == {"outcome": "failed"}
        assert web.ask("/jobs/work", "DELETE") == {"removed": True}
        assert web.ask("/miss", "POST") == {"held": False}
        heard: set[str] = set()
        expected = {
            "job_scheduled in shop",
            "job_removed in shop",
            "run_started in shop",
            "run_ended succeeded in shop",
            "run_ended failed in shop",
            "missed in shop",
        }
        while not expected <= heard:
            heard.add(web.running.line())


# --- in this process ------------------------------------------------------------------


def build(**config: Any) -> tuple[Flask, FlaskScheduler]:
    """Return an application with a scheduler that only ``start`` starts."""
    app = Flask("built")
    app.config["AIOSCHED_START"] = "never"
    for key, value in config.items():
        app.config[f"AIOSCHED_{key}"] = value
    return app, FlaskScheduler(app)


def refused(**config: Any) -> ConfigurationError:
    """Return why a configuration is refused."""
    with pytest.raises(ConfigurationError) as error:
        build(**config)
    return error.value


ONE_JOB = {"id": "a", "func": "os:getpid", "trigger": "interval", "seconds": 5}


@pytest.mark.seed("S2-F01")
def test_every_key_is_read() -> None:
    _, scheduler = build(
        STORE="memory://",
        NAMESPACE="ns",
        NAME="me",
        QUEUES=["mail"],
        MAX_CONCURRENCY=3,
        REVISION=2,
        LEASE=20,
        RUN_JOBS=True,
        MAX_PAYLOAD=1000,
        TERMS={"shards": 4},
        JOB_DEFAULTS={"queue": "mail", "max_running": 2},
        TIMEZONE="Europe/Rome",
        JOBS=[ONE_JOB],
    )
    one = scheduler.scheduler
    assert (one.namespace, one.name, one.queues) == ("ns", "me", ("mail",))
    assert one.max_concurrency == 3
    with scheduler:
        job = scheduler.get_job("a")
        assert (job.queue, job.max_running) == ("mail", 2)
        assert job.executor == "os:getpid"


@pytest.mark.seed("S2-F02", "S2-F13")
@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"STOER": "memory://"}, "AIOSCHED_STOER"),
        ({"STORE": "nowhere://"}, "AIOSCHED_STORE"),
        ({"START": "later"}, "AIOSCHED_START"),
        ({"TIMEZONE": "Mars/Base"}, "AIOSCHED_TIMEZONE"),
        ({"JOB_DEFAULTS": 5}, "AIOSCHED_JOB_DEFAULTS"),
        ({"JOB_DEFAULTS": {"id": "a"}}, "AIOSCHED_JOB_DEFAULTS.id"),
        ({"JOB_DEFAULTS": {"max_instances": 1}}, "AIOSCHED_JOB_DEFAULTS.max_instances"),
        ({"JOB_DEFAULTS": {"overlap": "no"}}, "AIOSCHED_JOB_DEFAULTS.overlap"),
        ({"JOBS": {"a": ONE_JOB}}, "AIOSCHED_JOBS"),
        ({"JOBS": ["a"]}, "AIOSCHED_JOBS[0]"),
        ({"JOBS": [ONE_JOB, {"id": "b"}]}, "AIOSCHED_JOBS[1].func"),
        ({"JOBS": [{"func": "os:getpid"}]}, "AIOSCHED_JOBS[0].id"),
        ({"JOBS": [ONE_JOB, ONE_JOB]}, "AIOSCHED_JOBS[1].id"),
        ({"JOBS": [{**ONE_JOB, "func": "getpid"}]}, "AIOSCHED_JOBS[0].func"),
        ({"JOBS": [{**ONE_JOB, "func": "os:nothing"}]}, "AIOSCHED_JOBS[0].func"),
        ({"JOBS": [{**ONE_JOB, "func": "os:sep"}]}, "AIOSCHED_JOBS[0].func"),
        ({"JOBS": [{**ONE_JOB, "trigger": "intervall"}]}, "AIOSCHED_JOBS[0].trigger"),
        ({"JOBS": [{**ONE_JOB, "seconds": "x"}]}, "AIOSCHED_JOBS[0].seconds"),
        ({"JOBS": [{**ONE_JOB, "colour": "red"}]}, "AIOSCHED_JOBS[0].colour"),
        (
            {"JOBS": [{**ONE_JOB, "misfire_grace_time": 5}]},
            "AIOSCHED_JOBS[0].misfire_grace_time",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_path(
    config: dict[str, Any], field: str
) -> None:
    error = refused(**config)
    assert error.field == field
    assert error.remedy


@pytest.mark.seed("S2-F06", "S2-F14")
def test_a_task_takes_every_option() -> None:
    scheduler = FlaskScheduler()

    @scheduler.task("interval", id="inner", seconds=10, start="2000-01-01T00:00:00Z")
    @scheduler.task("cron", id="outer", hour=3, misfire_grace=900, max_running=1)
    def stacked() -> None: ...

    @scheduler.task(every(2).hours, jitter=3, tags=["two"], coalesce="all")
    def phrased() -> None: ...

    @scheduler.task(keyword="asked")
    def asked() -> None: ...

    for words in ({"max_instances": 1}, {"colour": 1}, {"func": 1}, {"seconds": "x"}):
        with pytest.raises(InvalidInputError):
            scheduler.task("interval", **{"seconds": 1, **words})
    app = Flask("tasks")
    app.config["AIOSCHED_START"] = "never"
    app.config["AIOSCHED_TIMEZONE"] = "Asia/Tokyo"
    scheduler.init_app(app)

    @scheduler.task("interval", minutes=1)
    def later() -> None: ...

    with scheduler:
        jobs = {job.id: job for job in scheduler.get_jobs()}
        assert set(jobs) == {"inner", "outer", "phrased", "asked", "later"}
        assert jobs["outer"].max_running == 1
        assert "Asia/Tokyo" in repr(jobs["outer"].trigger)
        assert jobs["phrased"].tags == ("two",)
        with pytest.raises(SchedulerStateError, match="before the start"):
            scheduler.task("interval", minutes=1)(stacked)


@pytest.mark.seed("S2-F07")
def test_functions_and_coroutines_run_in_the_context() -> None:
    app, scheduler = build()

    @scheduler.executor
    def plain() -> str:
        return current_app.name

    @scheduler.executor
    async def awaited() -> str:
        return current_app.name

    heard: list[str] = []

    async def listener(event: Event) -> None:
        heard.append(current_app.name)

    scheduler.on("run_ended", listener)
    scheduler.on_missed(lambda event: None)
    with scheduler:
        scheduler.add_done_callback(lambda run: heard.append(current_app.name))
        for function in (plain, awaited):
            job = scheduler.schedule(Job(function))
            assert scheduler.result(job, timeout=SOON) == "built"
    assert heard == ["built"] * 4
    assert app.extensions["aiosched"] is scheduler


def test_importing_an_application_starts_nothing_until_it_is_served() -> None:
    app = Flask("lazy")
    scheduler = FlaskScheduler(app)
    app.get("/")(lambda: {"ok": scheduler.health().ok})
    app.testing = True
    assert app.test_client().get("/").json == {"ok": False}
    # A verb starts it held: it schedules, and claims nothing.
    scheduler.register(os.getpid, name="pid")
    job = scheduler.schedule(Job("pid"))
    assert scheduler.scheduler.health().ok
    app.testing = False
    assert app.test_client().get("/").json == {"ok": True}
    assert scheduler.result(job, timeout=SOON) == os.getpid()
    with pytest.raises(SchedulerStateError, match="another application"):
        scheduler.init_app(Flask("other"))
    scheduler.shutdown()
    scheduler.init_app(Flask("other"))  # as tests build one after the other
    scheduler.shutdown()


def test_without_an_application_there_is_nothing_to_start() -> None:
    with pytest.raises(SchedulerStateError, match="call init_app"):
        FlaskScheduler().start()


def test_without_flask_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['flask'] = None\n"
        "try:\n    import aiosched.integrations.flask\n"
        "except ImportError as error:\n    print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "pip install 'aiosched[flask]'" in done.stdout


@pytest.mark.parametrize("binary", servers.binaries()[:1], indirect=True)
def test_a_store_that_is_away_at_first_is_waited_for(launch: Any) -> None:
    server = launch()
    server.kill()
    app = Flask("patient")
    app.config.update(AIOSCHED_STORE=server.url, AIOSCHED_START="now")
    scheduler = FlaskScheduler(app)
    server.restart()
    events = wait_until(lambda: scheduler.health().ok, "the start", timeout=20)
    asyncio.run(events)
    scheduler.shutdown()
