"""Files with environments, variables and arguments: S4-10 to S4-17, and others."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aiosched import ConfigFileError, IntervalTrigger, Job, MemoryJobStore, Scheduler
from aiosched.cli.app import main
from aiosched.config import Config, build, declared_jobs, prepare
from aiosched.config.model import options_of
from aiosched.config.reloading import Reloading
from aiosched.errors import SchedulerStateError
from tests.cli.commands import Running, aiosched
from tests.engine.kit import now

FILE = """
default_env = "dev"

[scheduler]
namespace = "shop"
max_concurrency = 10

[values]
base_url = "${API_BASE_URL:-http://example.com}"

[env.dev]

[env.test]
inherits = "dev"
[env.test.scheduler]
namespace = "shop-test"
[env.test.values]
verbose = true
"""
YAML = """
default_env: dev
scheduler:
  namespace: shop
  max_concurrency: 10
values:
  base_url: "${API_BASE_URL:-http://example.com}"
env:
  dev: {}
  test:
    inherits: dev
    scheduler:
      namespace: shop-test
    values:
      verbose: true
"""


@pytest.fixture(params=["toml", "yaml"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"aiosched.{request.param}"
    path.write_text(FILE if request.param == "toml" else YAML, encoding="utf-8")
    return path


# --- S4-10, S4-17: environments ---


@pytest.mark.seed("S4-10")
def test_the_environment_is_chosen_by_a_variable(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(file.parent)

    def show(**variables: str) -> Any:
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            assert main(["config", "show", "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    shown = {env: show(AIOSCHED_ENV=env) for env in ("dev", "test")}
    assert shown["dev"]["scheduler"]["namespace"] == "shop"
    assert shown["test"]["scheduler"]["namespace"] == "shop-test"
    # What an environment does not say, it inherits.
    assert shown["test"]["scheduler"]["max_concurrency"] == 10
    assert shown["test"]["values"] == {
        "base_url": "${API_BASE_URL:-http://example.com}",
        "verbose": True,
    }
    assert show(AIOSCHED_NAMESPACE="mine")["scheduler"]["namespace"] == "mine"


@pytest.mark.seed("S4-17")
def test_an_environment_that_there_is_not(file: Path) -> None:
    assert Config.load(file, env="test").scheduler.namespace == "shop-test"
    with pytest.raises(ConfigFileError, match="dev, test") as caught:
        Config.load(file, env="nope")
    assert (caught.value.field, caught.value.value) == ("env", "nope")
    with pytest.raises(ConfigFileError, match="did you mean test"):
        Config.load(file, env="tset")


_AS_BY_DEFAULT = {"run_jobs", "max_concurrency", "max_payload", "grace", "log_level"}


@pytest.mark.seed("S4-13")
def test_a_new_file_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert aiosched("init", folder=tmp_path).returncode == 0
    done = aiosched("config", "check", folder=tmp_path)
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("aiosched.toml: ok")
    text = (tmp_path / "aiosched.toml").read_text(encoding="utf-8")
    # Every setting that it explains can be taken as it stands there.
    written = re.sub(
        r"^# (\w+ = .*)$", r"\1", text.split("# Your own")[0], flags=re.MULTILINE
    )
    (tmp_path / "full.toml").write_text(written, encoding="utf-8")
    full = Config.load(tmp_path / "full.toml", environ={}, env="")
    assert full.scheduler.store == "redis://localhost:6379/0"
    assert full.run.grace == timedelta(seconds=30)
    for settings in (full.scheduler, full.run):
        names = set(options_of(type(settings)))
        assert set(settings.shown()) >= names - _AS_BY_DEFAULT
    monkeypatch.chdir(tmp_path)
    assert main(["init"]) == 2
    assert "is there already" in capsys.readouterr().err


# --- S2-A16: three ways, one result, and no change after the start ---


@pytest.mark.seed("S2-A16")
@pytest.mark.virtual
async def test_three_ways_of_configuring_have_one_result(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(
        '[scheduler]\nnamespace = "shop"\nqueues = ["mail", "web"]\nlease = 20\n'
        "max_concurrency = 7\nterms = { beat = 2, member_timeout = 10 }\n"
        '[defaults]\nmax_running = 3\n[jobs.a]\nexecutor = "work"\nevery = "day"\n',
        encoding="utf-8",
    )
    in_file = Config.load(path, environ={})
    jobs = {"a": {"executor": "work", "every": "day", "max_running": 3}}
    variables = {
        "AIOSCHED_NAMESPACE": "shop",
        "AIOSCHED_QUEUES": "mail, web",
        "AIOSCHED_LEASE": "20",
        "AIOSCHED_MAX_CONCURRENCY": "7",
        "AIOSCHED_TERMS_BEAT": "2",
        "AIOSCHED_TERMS_MEMBER_TIMEOUT": "10",
    }
    in_variables = Config.from_data({"jobs": jobs}, environ=variables)
    arguments: dict[str, Any] = {
        "namespace": "shop",
        "queues": ["web", "mail"],
        "lease": timedelta(seconds=20),
        "max_concurrency": 7,
        "terms": {"beat": 2, "member_timeout": 10},
    }
    as_arguments = Config.from_data({"jobs": jobs}, **arguments)
    assert in_file == in_variables == as_arguments
    assert in_file != Config.from_data({"jobs": jobs}, **{**arguments, "lease": 21})

    def parts(scheduler: Scheduler) -> dict[str, Any]:
        names = ("namespace", "queues", "max_concurrency", "run_jobs", "_terms")
        return {name: getattr(scheduler, name) for name in names}

    plain = Scheduler(**arguments)
    for config in (in_file, in_variables, as_arguments):
        assert parts(build(config)) == parts(plain)
    # An argument outweighs a variable, and that the file.
    three = Config.load(path, environ=variables | {"AIOSCHED_LEASE": "30"}, lease=40)
    two = Config.load(path, environ=variables | {"AIOSCHED_LEASE": "30"})
    assert [one.scheduler.lease for one in (three, two, in_file)] == [
        timedelta(seconds=seconds) for seconds in (40, 30, 20)
    ]
    with pytest.raises(AttributeError):
        in_file.scheduler.namespace = "other"  # type: ignore[misc]
    async with plain:
        for name, value in (("namespace", "other"), ("queues", None), ("name", "x")):
            with pytest.raises(SchedulerStateError, match="after the start"):
                setattr(plain, name, value)
        assert plain.namespace == "shop"


@pytest.mark.seed("S2-A16")
@pytest.mark.parametrize(
    "build_it",
    [
        lambda path: Config.load(path, environ={}),
        lambda _: Config.from_data({}, environ={"AIOSCHED_MAX_CONCURRENCY": "0"}),
        lambda _: Config.from_data({}, max_concurrency=0),
        lambda _: Scheduler(max_concurrency=0),
    ],
)
def test_each_way_refuses_the_same(build_it: Any, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[scheduler]\nmax_concurrency = 0\n", encoding="utf-8")
    with pytest.raises(ValueError, match="is no positive whole number; give 1 or more"):
        build_it(path)


# --- S4-02: one schedule for all, or one each ---


@pytest.mark.seed("S4-02")
@pytest.mark.virtual
async def test_one_schedule_for_all_jobs_or_one_for_each() -> None:
    begun: dict[str, list[float]] = {}

    async def note(name: str) -> None:
        begun.setdefault(name, []).append(now())

    jobs = {
        name: {"executor": "note", "args": [name], **own}
        for name, own in (("a", {}), ("b", {}), ("c", {"every": "30 seconds"}))
    }
    config = Config.from_data({"defaults": {"every": "20 seconds"}, "jobs": jobs})
    scheduler = build(config)
    scheduler.register(note)
    for one in config.jobs:
        scheduler.declare(one.job)
    async with scheduler:
        await asyncio.sleep(61)
    assert begun["a"] == begun["b"] == [20, 40, 60]
    assert begun["c"] == [30, 60]


# --- S5-10, S5-16, S5-17: values and intervals from the environment ---


@pytest.mark.seed("S5-10")
def test_a_base_url_comes_from_file_or_environment(file: Path) -> None:
    plain = Config.load(file, environ={})
    assert plain.values["base_url"] == "http://example.com"
    url = "http://127.0.0.1:9"
    config = Config.load(file, environ={"API_BASE_URL": url})
    assert config.values["base_url"] == url
    assert config.values["base_url"].join(["a", "b"]) == f"a{url}b"
    assert url not in repr(config.values)  # it might have been a password
    with pytest.raises(TypeError):
        config.values["base_url"] = "other"  # type: ignore[index]


NEWS = {
    "executor": "note",
    "interval": "${NEWS_INTERVAL:-10}",
}


async def _runs(config: Config, store: MemoryJobStore, seconds: float) -> list[float]:
    begun: list[float] = []
    began = now()

    async def note() -> None:
        begun.append(round(now() - began, 3))

    scheduler = await prepare(config, store=store)
    scheduler.register(note)
    async with scheduler:
        await asyncio.sleep(seconds)
    return begun


@pytest.mark.seed("S5-17")
@pytest.mark.virtual
@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"NEWS_INTERVAL": "1"}, [1, 2, 3, 4, 5]),
        ({"NEWS_INTERVAL": "2.5"}, [2.5, 5]),
        ({}, []),
        ({"NEWS_INTERVAL": ""}, []),
    ],
)
async def test_an_interval_from_the_environment(
    environ: dict[str, str], expected: list[float]
) -> None:
    config = Config.from_data({"jobs": {"news": NEWS}}, environ=environ)
    assert await _runs(config, MemoryJobStore(), 5.25) == expected
    (job,) = config.jobs
    if not expected:
        assert job.job.trigger == IntervalTrigger(seconds=10)


@pytest.mark.seed("S5-16", "S5-17")
@pytest.mark.virtual
@pytest.mark.parametrize("value", ["-1", "off"])
async def test_a_negative_interval_switches_a_stored_job_off(
    value: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="aiosched")
    store = MemoryJobStore()
    on = Config.from_data({"jobs": {"news": NEWS}}, environ={})
    assert await _runs(on, store, 10.5) == [10]
    off = Config.from_data({"jobs": {"news": NEWS}}, environ={"NEWS_INTERVAL": value})
    assert off.jobs[0].off
    assert await _runs(off, store, 60) == []
    said = [one.getMessage() for one in caplog.records]
    assert sum(line.startswith("job news is off: its interval") for line in said) == 1
    async with Scheduler(store, run_jobs=False) as client:
        assert not await client.job_exists("news")
    assert await _runs(on, store, 10.5) == [10]


@pytest.mark.seed("S5-17")
@pytest.mark.parametrize("value", ["0", "soon", "nan", "1e400"])
def test_an_interval_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(ConfigFileError) as caught:
        Config.from_data({"jobs": {"news": NEWS}}, environ={"NEWS_INTERVAL": value})
    assert caught.value.field == "jobs.news.interval"
    assert "${NEWS_INTERVAL:-10}" in str(caught.value)


@pytest.mark.seed("S2-F02")
def test_a_list_of_jobs_with_a_wrong_trigger_names_its_path() -> None:
    good = {
        "id": "job1",
        "executor": "jobs:job1",
        "args": [1, 2],
        "trigger": {"kind": "interval", "seconds": 10},
    }
    (job,) = declared_jobs([good], name="JOBS")
    expected = Job("jobs:job1", (1, 2), id="job1", trigger=IntervalTrigger(seconds=10))
    assert job.job == expected
    bad = good | {"id": "job2", "trigger": {"kind": "intervall", "seconds": 10}}
    with pytest.raises(ConfigFileError) as caught:
        declared_jobs([good, bad], name="JOBS")
    assert caught.value.field == "JOBS[1].trigger.kind"
    assert caught.value.value == "intervall"


# --- S4-11: what changes while it runs, and what does not ---

JOBS = """
import sys

def say(word):
    print("said", word, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP here")
@pytest.mark.seed("S4-11")
def test_sighup_reads_the_jobs_again(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(JOBS, encoding="utf-8")
    file = tmp_path / "aiosched.toml"

    def write(text: str, concurrency: int) -> None:
        new = tmp_path / "new.toml"
        new.write_text(
            f"[scheduler]\nmax_concurrency = {concurrency}\n{text}", encoding="utf-8"
        )
        os.replace(new, file)  # noqa: PTH105 - as editors do

    def job(name: str) -> str:
        return (
            f'[jobs.{name}]\nexecutor = "mine:say"\nargs = ["{name}"]\n'
            'trigger = { kind = "interval", milliseconds = 100 }\n'
        )

    write(job("one"), 5)
    with Running("run", "--config", "aiosched.toml", folder=tmp_path) as running:
        running.until("said one")
        write(job("one") + job("two"), 6)
        running.signal(signal.SIGHUP)
        running.until("said two")
        write("[jobs.three\n", 6)
        running.signal(signal.SIGHUP)
        running.until("said two")
        write(job("three"), 6)
        running.signal(signal.SIGHUP)
        running.until("said three")
        running.signal(signal.SIGTERM)
        code, said = running.end()
    assert code == 0, said
    assert "scheduler.max_concurrency has changed: a restart is needed" in said
    assert "left as it is: aiosched.toml: 1 mistake" in said
    assert "job one is not in the configuration any more" in said
    assert "Traceback" not in said


@pytest.mark.seed("S4-11")
@pytest.mark.virtual
async def test_a_setting_that_changes_waits_for_a_restart(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="aiosched")
    say = {"executor": "builtins:print", "every": "day"}
    old = Config.from_data({"jobs": {"a": say}})
    data: dict[str, Any] = {
        "scheduler": {"namespace": "other"},
        "jobs": {"a": say | {"enabled": False}, "b": say},
    }
    reloading = Reloading(old, lambda: Config.from_data(data))
    async with await prepare(old) as scheduler:
        assert [job.id for job in await scheduler.get_jobs()] == ["a"]
        assert await reloading.reload(scheduler) == ["a", "b"]
        assert [job.id for job in await scheduler.get_jobs()] == ["b"]
        assert await reloading.reload(scheduler) == []
        assert scheduler.namespace == "aiosched"
        data["jobs"]["b"]["every"] = "fortnight"
        assert await reloading.reload(scheduler) == []
        assert [job.id for job in await scheduler.get_jobs()] == ["b"]
    actions = [getattr(one, "action", "") for one in caplog.records]
    assert actions.count("config_restart_needed") == 2
    assert actions.count("config_refused") == 1
