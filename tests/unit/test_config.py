"""Configurations: layers, secrets, and errors that say where, what and what instead."""

from __future__ import annotations

import builtins
import pickle
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aiosched import (
    ArgumentsError,
    ConfigFileError,
    ConfigurationError,
    Job,
    Scheduler,
    every,
)
from aiosched.config import Config, declare, declared_jobs, prepare
from aiosched.config.filling import Filled
from aiosched.config.template import init_text

SECRET = "hunter2-hunter2"


def written(folder: Path, text: str, name: str = "c.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refused(folder: Path, text: str, name: str = "c.toml", **more: Any) -> list[str]:
    """Return the lines of the error about a file."""
    given = {"environ": {}, **more}
    with pytest.raises(ConfigFileError) as caught:
        Config.load(written(folder, text, name), **given)
    error = caught.value
    lines = str(error).splitlines()
    assert len(lines) == 1 + len(error.mistakes)
    for _, one in error.mistakes:
        assert one.remedy
    first = error.mistakes[0][1]
    assert (error.field, error.problem) == (first.field, first.problem)
    return [line.strip() for line in lines[1:]]


# -- errors -----------------------------------------------------------------------

WRONG = """\
[scheduler]
namspace = "shop"
queues = "mail"
max_concurrency = 0

[jobs.a]
executor = "x"
every = "10 minuets"

[jobs."b c"]
cron = "61 * * * *"
max_runs = "three"

[[env.test.jobs]]
"""


def test_all_mistakes_are_told_at_once_with_line_value_and_remedy(
    tmp_path: Path,
) -> None:
    lines = refused(tmp_path, WRONG)
    assert lines[0].startswith("line 2: scheduler.namspace='shop': is not known in")
    assert lines[0].endswith("did you mean namespace?")
    assert lines[1].startswith("line 3: scheduler.queues='mail': is a text, not")
    assert lines[2].startswith("line 4: scheduler.max_concurrency=0: is no positive")
    assert lines[3].startswith("line 8: jobs.a.every='minuets': is not a unit")
    assert lines[4].startswith('line 10: jobs."b c".executor=None: is missing')
    assert lines[5].startswith("line 11: jobs.\"b c\".cron='61 * * * *': minute: 61")
    assert lines[6].startswith("line 12: jobs.\"b c\".max_runs='three': is not a whole")
    assert len(lines) == 7


def test_a_mistake_in_an_inline_table_has_the_line_of_its_key(tmp_path: Path) -> None:
    text = '[jobs]\na = { executor = "x", every = "day", kwargs = [\n  1,\n] }\n'
    (line,) = refused(tmp_path, text)
    assert line.startswith("line 2: jobs.a.kwargs=[1]: is not a mapping")


YAML_WRONG = """\
scheduler:
  namespace: shop
  namespace: other
jobs:
  a: {executor: x, every: day, on: mon}
"""


def test_a_key_that_stands_twice_in_yaml(tmp_path: Path) -> None:
    lines = refused(tmp_path, YAML_WRONG, "c.yaml")
    assert lines[0].startswith("line 3: scheduler.namespace='namespace': stands there")
    # YAML reads "on" as true, which would be lost without a word.
    assert lines[1].startswith("line 5: jobs.a.on='on': a key that is not text")


def test_yaml_keys_have_lines(tmp_path: Path) -> None:
    text = "jobs:\n  - id: a\n    executor: x\n    max_runs: 0\n"
    lines = refused(tmp_path, text, "c.yml")
    assert lines[0].startswith("line 4: jobs[0].max_runs=0: is out of range")


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("a = \n", "c.toml", "line 1: config="),
        ("a = 1\na = 2\n", "c.toml", "is no TOML: Cannot overwrite a value"),
        ("a: [1\n", "c.yaml", "is no YAML"),
        ("- 1\n", "c.yaml", "is no mapping"),
        ("!!python/object/apply:os.getcwd []\n", "c.yaml", "is no YAML"),
        ("a = " + "[" * 5_000, "c.toml", "is nested too deeply"),
        ("[values]\na = " + "[" * 900 + "]" * 900, "c.toml", "is nested too deeply"),
        ("", "c.json", "is neither TOML nor YAML"),
        ("[" * 5_000, "c.yaml", "is nested too deeply"),
    ],
)
def test_what_cannot_be_read_at_all(
    tmp_path: Path, text: str, name: str, said: str
) -> None:
    (line, *_) = refused(tmp_path, text, name)
    assert said in line


def test_aliases_of_yaml(tmp_path: Path) -> None:
    text = (
        "jobs:\n  a: &a {executor: x, every: day}\n  b:\n    <<: *a\n    max_runs: 2\n"
    )
    a, b = Config.load(written(tmp_path, text, "c.yaml"), environ={}).jobs
    assert (a.job.trigger, a.job.max_runs) == (b.job.trigger, None)
    assert b.job.max_runs == 2
    (line,) = refused(tmp_path, "values: &a\n  b: *a\n", "c.yaml")
    assert "contains itself" in line
    levels = [f"v{n}: &v{n} [{', '.join([f'*v{n - 1}'] * 9)}]" for n in range(1, 9)]
    text = "values:\n  " + "\n  ".join(["v0: &v0 [1]", *levels])
    (line,) = refused(tmp_path, text, "c.yaml")
    assert "has more than 100000 values" in line


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(ConfigFileError, match="aiosched init"):
        Config.load("/nowhere/c.toml", environ={})
    with pytest.raises(ConfigFileError, match="cannot be read"):
        Config.load(environ={"AIOSCHED_CONFIG": "/nowhere/c.toml"})


def test_yaml_without_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "yaml":
            raise ModuleNotFoundError("No module named 'yaml'", name="yaml")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    (line,) = refused(tmp_path, "scheduler: {}\n", "c.yaml")
    assert 'pip install "aiosched[yaml]"' in line


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"AIOSCHED_NAMESPCE": "x"}, "did you mean AIOSCHED_NAMESPACE?"),
        ({"AIOSCHED_MAX_CONCURRENCY": "many"}, "AIOSCHED_MAX_CONCURRENCY='many'"),
        ({"AIOSCHED_RUN_JOBS": "perhaps"}, "is neither true nor false"),
        ({"AIOSCHED_TERMS_BEAT": "0"}, "environment: AIOSCHED_TERMS"),
        ({"AIOSCHED_TERMS_BEET": "1"}, "AIOSCHED_TERMS.beet=1: is not known"),
        ({"AIOSCHED_STORE_FILE": "/nowhere"}, "cannot be read"),
    ],
)
def test_variables_are_named(environ: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigFileError) as caught:
        Config.from_data({}, environ=environ)
    assert said in str(caught.value)
    assert "  environment: AIOSCHED_" in str(caught.value)


def test_variables_of_others_are_none_of_ours() -> None:
    # An orchestrator names those of a service called aiosched; tests have theirs.
    environ = {
        "AIOSCHED_SERVICE_HOST": "10.0.0.1",
        "AIOSCHED_PORT_6379_TCP": "tcp://10.0.0.1:6379",
        "AIOSCHED_TEST_REDIS_URL": "redis://x",
        "AIOSCHED_LONG": "1",
        "AIOSCHED_NAMESPACE": "",
    }
    assert Config.from_data({}, environ=environ) == Config()


def test_arguments_are_named() -> None:
    with pytest.raises(ConfigFileError, match="argument: namspace='x': is not known"):
        Config.from_data({}, namspace="x")
    with pytest.raises(ConfigFileError, match="argument: grace=-1: is not positive"):
        Config.from_data({}, grace=-1)


# -- layers -----------------------------------------------------------------------

LAYERS = """
others = ["a-*"]
[scheduler]
queues = ["one", "two"]
[jobs.a]
executor = "x"
every = "10 minutes"
kwargs = { one = 1, two = 2 }
[env.base.jobs.a]
kwargs = { two = 3 }
[env.dev]
inherits = "base"
[env.dev.scheduler]
queues = ["three"]
[env.dev.jobs.a]
cron = "0 9 * * *"
[env.off]
inherits = "dev"
[env.off.jobs.a]
enabled = false
"""


def test_an_environment_inherits_and_says_what_differs(tmp_path: Path) -> None:
    path = written(tmp_path, LAYERS)
    plain, base, dev, off = (
        Config.load(path, env=env, environ={}) for env in ("", "base", "dev", "off")
    )
    assert plain.scheduler.queues == ("one", "two")
    assert plain.jobs[0].job.kwargs == {"one": 1, "two": 2}
    assert base.jobs[0].job.kwargs == {"one": 1, "two": 3}
    # A list is replaced, and so is the word that says when.
    assert dev.scheduler.queues == ("three",)
    assert dev.jobs[0].job.kwargs == {"one": 1, "two": 3}
    assert dev.jobs[0].job.trigger is not None
    assert dev.jobs[0].job.trigger.describe() == "at 09:00 every day, UTC"
    assert (dev.jobs[0].off, off.jobs[0].off) == ("", "enabled is false")
    assert off.jobs[0].job == dev.jobs[0].job


def test_a_mistake_of_an_environment_has_its_line(tmp_path: Path) -> None:
    text = LAYERS.replace("enabled = false", "enabld = false")
    (line,) = refused(tmp_path, text, env="off")
    assert line.startswith("line 20: env.off.jobs.a.enabld=False: is not known")
    assert Config.load(written(tmp_path, text), env="dev", environ={}).env == "dev"


@pytest.mark.parametrize(
    ("text", "env", "said"),
    [
        ('[env.a]\ninherits = "b"\n[env.b]\ninherits = "a"\n', "a", "a → b → a"),
        ('[env.a]\ninherits = "a"\n', "a", "a → a"),
        ('[env.a]\ninherits = "c"\n', "a", "line 2: env.a.inherits='c'"),
        ("[env.a]\ninherits = 3\n", "a", "line 2: env.a.inherits=3"),
        ("", "a", "use one of its environments: none"),
        ("env = 3\n", "a", "is no table"),
        ("[env]\na = 3\n", "a", "env.a=3: is no table"),
        ("[env.a.env.b]\n", "a", "an environment within an environment"),
        ('default_env = "x"\n[env.a]\n', None, "line 1: default_env='x'"),
    ],
)
def test_environments_that_cannot_be(
    tmp_path: Path, text: str, env: str | None, said: str
) -> None:
    (line,) = refused(tmp_path, text, env=env)
    assert said in line


# -- secrets ----------------------------------------------------------------------


def test_what_is_filled_in_is_used_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "password").write_text(f"{SECRET}\n", encoding="utf-8")
    path = written(
        tmp_path,
        '[scheduler]\nstore = "redis://:${PW}@localhost/1"\nname = "${NAME:-peer}"\n'
        '[values]\ntoken = "${file:password}"\nprice = "5 $ or $$"\n',
    )
    config = Config.load(path, environ={"PW": SECRET})
    assert config.scheduler.store == f"redis://:{SECRET}@localhost/1"
    assert config.scheduler.name == "peer"
    assert config.values == {"token": SECRET, "price": "5 $ or $"}
    for one in (config, config.scheduler, config.run, config.values):
        assert SECRET not in repr(one)
    assert "redis://***@localhost/1" in repr(config.scheduler)
    assert pickle.loads(pickle.dumps(config.values["token"])) == SECRET


def test_a_store_may_be_named_by_a_file(tmp_path: Path) -> None:
    secret = written(tmp_path, f"redis://:{SECRET}@localhost/1\n", "url")
    path = written(tmp_path, '[scheduler]\nstore_file = "url"\n')
    by_file = Config.load(path, environ={})
    by_variable = Config.from_data({}, environ={"AIOSCHED_STORE_FILE": str(secret)})
    assert by_file == by_variable
    assert by_file.scheduler.store == f"redis://:{SECRET}@localhost/1"
    text = '[scheduler]\nstore_file = "url"\nstore = "memory://"\n'
    (line,) = refused(tmp_path, text)
    assert line.startswith("line 2: scheduler.store_file='url': store is given too")


async def test_arguments_of_jobs_hide_what_was_filled_in() -> None:
    async def show(word: str, number: int = 0) -> str:
        return word

    async def started(kwargs: dict[str, str]) -> object:
        words = {"executor": "show", "kwargs": kwargs, "meta": {"k": ["${PW}"]}}
        config = Config.from_data({"jobs": {"a": words}}, environ={"PW": SECRET})
        assert SECRET not in f"{config.jobs!r}{config.jobs[0].job!r}"
        scheduler = await prepare(config)
        scheduler.register(show)
        async with scheduler:
            return await scheduler.result("a", timeout=10)

    assert await started({"word": "${PW}"}) == SECRET
    with pytest.raises(ArgumentsError) as caught:
        await started({"word": "x", "number": "${PW}"})
    assert caught.value.field == "kwargs.number"
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "written_as"),
    [
        ('[scheduler]\nstore = "redis://:${PW}@h:port"\n', "${PW}"),
        ('[scheduler]\nstore_file = "pw"\n', "file:pw"),
        ('[scheduler]\nnamespace = "{${PW}}"\n', "{${PW}}"),
        ('[scheduler]\nmax_concurrency = "${PW}"\n', "${PW}"),
        ('[scheduler]\nqueues = "${PW} x"\n', "${PW} x"),
        ('[scheduler]\nlease = "${PW}"\n', "${PW}"),
        ('[jobs.a]\nexecutor = "x"\ncron = "${PW}"\n', "${PW}"),
        ('[jobs.a]\nexecutor = "x"\nevery = "${PW}"\n', "${PW}"),
        ('[jobs.a]\nexecutor = "x"\nevery = "day"\nat = "${file:pw}"\n', "${file:pw}"),
        ('[jobs.a]\nexecutor = "x"\nqueue = "${PW} x"\n', "${PW}"),
        ('[jobs.a]\nexecutor = "x"\ntags = ["${PW}", ""]\n', "${PW}"),
        ('[jobs.a]\nexecutor = "x"\ntrigger = { kind = "${PW}" }\n', "${PW}"),
        ('[jobs.a]\nexecutor = "x"\nkwargs = "${PW}"\n', "${PW}"),
        ('[jobs.a]\nexecutor = "x"\nenabled = "${PW}"\n', "${PW}"),
        ('[jobs.a]\nexecutor = "x"\nretry = { delay = "${PW}" }\n', "${PW}"),
        ('[jobs.a]\nexecutor = "x"\nevery = "week"\non = ["${PW}"]\n', "${PW}"),
        ('[[jobs]]\nexecutor = "x"\nid = "${PW}\\u0007"\n', "${PW}"),
        ('[run]\napp = "${PW}"\n', "${PW}"),
        ('[defaults]\ntimeout = "${PW}"\n[jobs.a]\nexecutor = "x"\n', "${PW}"),
        ('[unknown]\na = "${PW}"\n', "${PW}"),
    ],
)
def test_no_error_shows_a_secret(tmp_path: Path, text: str, written_as: str) -> None:
    (tmp_path / "pw").write_text(SECRET, encoding="utf-8")
    with pytest.raises(ConfigFileError) as caught:
        Config.load(written(tmp_path, text), environ={"PW": SECRET})
    error: BaseException | None = caught.value
    assert written_as in str(error)
    while error is not None:
        assert SECRET not in f"{error!s}{error!r}"
        if isinstance(error, ConfigFileError):
            for _, one in error.mistakes:
                assert SECRET not in f"{one!s}{one.value!r}{one.problem}{one.remedy}"
        error = error.__cause__ or (
            None if error.__suppress_context__ else error.__context__
        )


def test_a_key_that_nobody_knows_shows_no_password(tmp_path: Path) -> None:
    text = (
        f'[scheduler]\npassword = "{SECRET}"\nstroe = "redis://:{SECRET}@h"\n'
        f'[jobs.a]\nexecutor = "x"\nsmtp = {{ api_key = "{SECRET}", port = 25 }}\n'
    )
    lines = refused(tmp_path, text)
    assert len(lines) == 3
    assert not any(SECRET in line for line in lines)
    assert "port" in lines[2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("${NOT_SET}", "the variable NOT_SET is not set; set it, or write a default"),
        ("${file:none}", "the file cannot be read"),
        ("${1}", "names no variable"),
        ("${A", "names no variable"),
        ("${}", "names no variable"),
    ],
)
def test_what_cannot_be_filled_in(tmp_path: Path, text: str, said: str) -> None:
    (line,) = refused(tmp_path, f'[values]\nlist = ["a", "{text}"]\n')
    assert line.startswith(f"line 2: values.list[1]={text!r}: ")
    assert said in line


def test_another_environment_may_want_variables_that_are_not_set(
    tmp_path: Path,
) -> None:
    text = '[env.prod.scheduler]\nstore = "redis://:${PW}@h"\n'
    assert Config.load(written(tmp_path, text), environ={}) == Config()


def test_a_filled_text_is_a_text_that_shows_itself_as_it_was_written() -> None:
    text = Filled(SECRET, "${PW}", (SECRET,))
    assert text == SECRET
    assert f"{text}" == SECRET
    assert repr(text) == "'${PW}'"
    assert text.hide(f"bad: {SECRET!r}") == "bad: '***'"


# -- jobs -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "trigger"),
    [
        ({"every": "10 minutes"}, every(10).minutes),
        ({"every": "every 10 minutes"}, every(10).minutes),
        ({"every": "1 hour"}, every(1).hours),
        ({"every": "day at 10:30"}, every().day.at("10:30", "Europe/Paris")),
        ({"every": "monday"}, every().monday.at("00:00", "Europe/Paris")),
        (
            {"every": "2 weeks", "on": ["mon", "thu"], "at": "10:00"},
            every(2).weeks.on("mon", "thu").at("10:00", "Europe/Paris"),
        ),
        (
            {"every": 3, "unit": "days", "at": "10:00", "tz": "UTC"},
            every(3).days.at("10:00"),
        ),
        (
            {"every": "hour", "until": "2030-01-01T00:00Z"},
            every().hour.until("2030-01-01T00:00Z"),
        ),
        ({"interval": "PT5M"}, every(300).seconds),
        ({"interval": timedelta(minutes=5)}, every(300).seconds),
    ],
)
def test_words_of_when(words: dict[str, Any], trigger: Any) -> None:
    defaults = {"tz": "Europe/Paris"}
    (job,) = declared_jobs([{"id": "a", "executor": "x", **words}], defaults=defaults)
    assert job.job.trigger is not None
    assert job.job.trigger.describe() == trigger.describe()


@pytest.mark.parametrize(
    ("words", "field", "said"),
    [
        ({"every": "10 minute"}, "every", 'write "10 minutes"'),
        ({"every": "often enough"}, "every", "is no phrase"),
        ({"every": 10}, "every", "does not say of what"),
        ({"every": "day", "cron": "0 9 * * *"}, "cron", "keep one of the two"),
        ({"cron": "0 9 * * *", "at": "9:00"}, "at", "does not go with cron"),
        ({"at": "9:00"}, "at", "says more of nothing"),
        ({"every": "hour", "at": "25:00"}, "at", "no time of day"),
        ({"every": "day", "shift": "skip"}, "shift", "nothing excludes"),
        ({"every": "day", "on": "mon"}, "on", "goes with weeks alone"),
        ({"every": "day", "tz": "Europe/Pari"}, "tz", "is not a time zone"),
        ({"interval": 0}, "interval", "is not an interval"),
        ({"interval": True}, "interval", "is not an interval"),
        ({"rrule": "FREQ=DAILY"}, "start", "counts from nowhere"),
        ({"trigger": {"kind": "interval", "secs": 1}}, "trigger.secs", "no such field"),
        ({"when": "2030-01-01 25:00"}, "when", "is not an ISO 8601"),
        ({"executor": 3}, "executor", "is not text"),
        ({"overlap": "sometimes"}, "overlap", "is not a word it knows"),
        ({"retry": {"attempts": 0}}, "retry.attempts", "out of range"),
        ({"meta": {"a": object()}}, "meta.a", "JSON"),
        ({"paused": "yes"}, "paused", "neither True nor False"),
        ({"id": ""}, "id", "is empty"),
    ],
)
def test_words_that_cannot_be_used(
    words: dict[str, Any], field: str, said: str
) -> None:
    with pytest.raises(ConfigFileError) as caught:
        declared_jobs([{"id": "a", "executor": "x", **words}], name="JOBS")
    assert caught.value.field == f"JOBS[0].{field}"
    assert said in str(caught.value)


def test_every_option_of_a_job_may_be_declared() -> None:
    words: dict[str, Any] = {
        "args": [1],
        "kwargs": {"a": 1},
        "keyword": "word",
        "queue": "mail",
        "paused": True,
        "max_runs": 3,
        "misfire_grace": "PT5M",
        "coalesce": "all",
        "coalesce_limit": 2,
        "overlap": "queue",
        "max_running": 2,
        "jitter": 1.5,
        "timeout": 60,
        "retry": {"attempts": 2, "delay": 5},
        "on_lost": "record",
        "max_lost": 1,
        "keep": 10,
        "keep_last": 2,
        "keep_results": 0,
        "tags": ["b", "a"],
        "note": "a note",
        "meta": {"x": [1]},
    }
    (job,) = declared_jobs({"a": {"executor": "x", **words}})
    assert job.job == Job("x", id="a", **words)
    assert job.job.paused
    left = set(Job.model_fields) - {*words, "executor", "id", "trigger", "when"}
    assert not left


def test_jobs_that_are_not_jobs() -> None:
    for jobs in ({"a": 3}, [3], "jobs", 3):
        with pytest.raises(ConfigFileError):
            declared_jobs(jobs)  # type: ignore[arg-type]
    with pytest.raises(ConfigFileError, match="declared twice, at jobs"):
        declared_jobs([{"id": "a", "executor": "x"}, {"id": "a", "executor": "y"}])
    with pytest.raises(ConfigFileError, match=r"jobs\[0\].id=None: is missing"):
        declared_jobs([{"executor": "x"}])


def test_a_keyword_job_does_not_inherit_a_schedule() -> None:
    jobs = {"a": {"executor": "x", "keyword": "k"}, "b": {"executor": "x"}}
    a, b = declared_jobs(jobs, defaults={"every": "day", "at": "09:00", "tz": "UTC"})
    assert a.job.trigger is None
    assert b.job.trigger is not None


# -- building ---------------------------------------------------------------------

MODULE = """
calls = []

def work(): ...

class Box:
    @staticmethod
    def empty(): ...

def plain(scheduler):
    calls.append("plain")

async def both(scheduler, config):
    calls.append(config.values["x"])
    scheduler.register(work, name="named")

def neither(a, b, c): ...

def broken(scheduler):
    raise KeyError("mine")
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    name = f"built_{abs(hash(tmp_path))}"
    written(tmp_path, MODULE, f"{name}.py")
    return name


async def test_a_scheduler_is_built_with_all_that_a_file_names(
    tmp_path: Path, module: str
) -> None:
    path = written(
        tmp_path,
        f'[run]\napp = "{module}:both"\napp_dir = "."\n[values]\nx = 1\n'
        f'[jobs.a]\nexecutor = "{module}:work"\nevery = "day"\n'
        f'[jobs.b]\nexecutor = "{module}:Box.empty"\nevery = "day"\n'
        f'[jobs.c]\nexecutor = "elsewhere"\nevery = "day"\n',
    )
    scheduler = await prepare(Config.load(path, environ={}))
    assert [job.executor for job in scheduler.declared] == [
        "named",
        f"{module}:Box.empty",
        "elsewhere",
    ]
    # Nothing was started, and it can be built again.
    assert repr(scheduler).endswith("new>")
    assert (await prepare(Config.load(path, environ={}))).declared == scheduler.declared


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ("{}:neither", "can be called neither with scheduler and configuration"),
        ("{}:nothing", "has no 'nothing'"),
        ("{}:calls", "is no function"),
        ("{}_not:x", "there is no module"),
    ],
)
async def test_an_app_that_cannot_be_called(
    tmp_path: Path, module: str, app: str, said: str
) -> None:
    text = f'[run]\napp = "{app.format(module)}"\napp_dir = "."\n'
    config = Config.load(written(tmp_path, text), environ={})
    with pytest.raises(ConfigFileError, match=said) as caught:
        await prepare(config)
    assert caught.value.field == "run.app"


async def test_an_error_of_the_app_is_its_own(tmp_path: Path, module: str) -> None:
    text = f'[run]\napp = "{module}:broken"\napp_dir = "."\n'
    config = Config.load(written(tmp_path, text), environ={})
    with pytest.raises(KeyError, match="mine"):
        await prepare(config)


def test_declared_jobs_are_declared_on_any_scheduler() -> None:
    jobs = declared_jobs(
        {
            "a": {"executor": "builtins:print", "every": "day"},
            "b": {"executor": "builtins:print", "enabled": False},
        }
    )
    scheduler = Scheduler()
    declare(scheduler, jobs)
    assert [job.id for job in scheduler.declared] == ["a"]
    assert scheduler.registry.names == ("builtins:print",)
    wrong = declared_jobs(
        [
            {"id": "c", "executor": "builtins:nothing", "every": "day"},
            {"id": "d", "executor": "nowhere.at.all:x", "every": "day"},
        ],
        name="JOBS",
    )
    with pytest.raises(ConfigFileError) as caught:
        declare(scheduler, wrong, source="settings.JOBS")
    fields = [error.field for _, error in caught.value.mistakes]
    assert fields == ["JOBS[0].executor", "JOBS[1].executor"]
    with pytest.raises(ConfigurationError):
        Config.from_data(3)  # type: ignore[arg-type]


def test_the_file_that_init_writes_is_right(tmp_path: Path) -> None:
    path = written(tmp_path, init_text())
    for env in ("", "dev", "test", "prod"):
        assert Config.load(path, env=env, environ={}).jobs == ()
