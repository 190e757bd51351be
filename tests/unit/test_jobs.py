"""Jobs: what is accepted, what is refused and how, and what stores make of them."""

from __future__ import annotations

import asyncio
import json
import pickle
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, timezone
from enum import Enum
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiosched import planning
from aiosched.clock import seeded_ids
from aiosched.enums import (
    Cause,
    Coalesce,
    JobState,
    OnLost,
    Outcome,
    Overlap,
    Reason,
    RowKind,
)
from aiosched.errors import (
    ArgumentsError,
    ConfigurationError,
    InvalidInputError,
    JobExistsError,
    TriggerError,
)
from aiosched.ids import ids_from
from aiosched.instants import DAY, SECOND, micros, moment
from aiosched.jobs import (
    DEFAULT_KEEP,
    Firing,
    Job,
    Retry,
    anchor_of,
    arguments_of,
    definition_of,
    entry_of,
    executor_name,
    fields_differing,
    job_of,
    run_of,
    to_spec,
)
from aiosched.records import (
    Apart,
    Counts,
    Definition,
    LiveRun,
    Pending,
    Record,
    Row,
    Spec,
    State,
)
from aiosched.rows import pack_row
from aiosched.triggers.cron import CronTrigger
from aiosched.triggers.date import DateTrigger
from aiosched.triggers.interval import IntervalTrigger

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


class Mail:
    async def run(self, context: object) -> None: ...


def send() -> None: ...


# -- what is accepted ---------------------------------------------------


def test_executor_args_and_kwargs_may_be_given_by_position() -> None:
    job = Job("mail", [1, 2], {"draft": True})
    assert (job.executor, job.args, job.kwargs) == ("mail", (1, 2), {"draft": True})


def test_defaults_are_those_of_the_design() -> None:
    job = Job("mail")
    assert job.trigger is None
    assert job.keyword is None
    assert job.queue is None
    assert job.coalesce is Coalesce.LATEST
    assert job.overlap is Overlap.SKIP
    assert job.on_lost is OnLost.RERUN
    assert (job.max_running, job.max_lost, job.keep_last) == (1, 3, 10)
    assert (job.timeout, job.retry, job.misfire_grace) == (None, None, None)


@pytest.mark.parametrize(
    ("target", "name"), [(Mail, "Mail"), (Mail(), "Mail"), (send, "send"), ("x", "x")]
)
def test_a_class_instance_or_function_becomes_its_name(
    target: object, name: str
) -> None:
    job = Job(executor=target)
    assert job.executor == name
    assert job.target is (None if isinstance(target, str) else target)


def test_an_executor_without_a_name_is_refused_with_the_remedy() -> None:
    with pytest.raises(ConfigurationError, match="name=") as caught:
        Job(lambda: None)
    assert caught.value.field == "executor"
    assert executor_name(send) == "send"


def test_the_id_is_drawn_when_the_job_is_built() -> None:
    job = Job("mail")
    assert job.drawn
    assert len(job.id) == 16
    assert job.id != Job("mail").id
    assert not Job("mail", id="mine").drawn


def test_drawn_ids_come_from_the_source_in_force() -> None:
    with ids_from(seeded_ids(1)):
        first = [Job("mail").id for _ in range(3)]
    with ids_from(seeded_ids(1)):
        assert [Job("mail").id for _ in range(3)] == first
    assert Job("mail").id not in first


def test_only_a_job_with_a_chosen_id_leaves_a_tombstone_by_default() -> None:
    assert Job("mail").keep == timedelta(0)
    assert Job("mail", id="a").keep == DEFAULT_KEEP == timedelta(days=7)
    assert Job("mail", keep=3600).keep == timedelta(hours=1)
    assert Job("mail", id="a", keep=0).keep == timedelta(0)


def test_durations_may_be_timedeltas_seconds_or_iso_text() -> None:
    job = Job("mail", timeout=1.5, jitter=timedelta(seconds=3), misfire_grace="PT5M")
    assert job.timeout == timedelta(milliseconds=1500)
    assert job.jitter == timedelta(seconds=3)
    assert job.misfire_grace == timedelta(minutes=5)


def test_allow_means_many_unless_a_number_is_given() -> None:
    assert Job("mail", overlap="allow").max_running == 100
    assert Job("mail", overlap="allow", max_running=3).max_running == 3
    assert Job("mail").with_changes(overlap="allow").max_running == 100
    changed = Job("mail", max_running=2).with_changes(overlap="allow")
    assert changed.max_running == 2


def test_tags_are_unique_and_sets_are_sorted() -> None:
    assert Job("mail", tags=["b", "a", "b"]).tags == ("b", "a")
    assert Job("mail", tags={"b", "a", "c"}).tags == ("a", "b", "c")


def test_a_job_is_immutable() -> None:
    job = Job("mail")
    with pytest.raises(Exception, match="frozen"):
        job.note = "changed"


# -- when ---------------------------------------------------


@pytest.mark.parametrize(
    ("when", "at"),
    [
        (NOON, NOON),
        (datetime(2030, 1, 1, 13, tzinfo=timezone(timedelta(hours=1))), NOON),
        (date(2030, 1, 1), datetime(2030, 1, 1, tzinfo=UTC)),
        ("2030-01-01", datetime(2030, 1, 1, tzinfo=UTC)),
        ("2030-01-01T12:00:00Z", NOON),
        ("2030-01-01T13:00:00+01:00", NOON),
    ],
)
def test_an_instant_may_be_given_in_many_forms(when: object, at: datetime) -> None:
    for job in (Job("mail", when=when), Job("mail", trigger=when)):
        assert isinstance(job.trigger, DateTrigger)
        assert job.trigger.at == at
        assert job.when is None


@pytest.mark.parametrize("when", [timedelta(seconds=90), "PT1M30S"])
def test_a_timedelta_counts_from_scheduling(when: object) -> None:
    job = Job("mail", when=when)
    assert job.when == timedelta(seconds=90)
    definition = definition_of(job, to_spec(job), anchor_of(job), b"")
    first = planning.schedule(definition, None, micros(NOON))
    assert first is not None
    assert first.at == micros(NOON + timedelta(seconds=90))
    later = micros(NOON + timedelta(seconds=60))
    assert planning.schedule(definition, first.record, later) is None
    other = job.with_changes(when=timedelta(seconds=91))
    changed = definition_of(other, to_spec(other), anchor_of(other), b"")
    with pytest.raises(JobExistsError):
        planning.schedule(changed, first.record, later)


@pytest.mark.parametrize("field", ["when", "trigger"])
@pytest.mark.parametrize(
    "value", [NOON.replace(tzinfo=None), "2030-01-01T12:00:00", "tomorrow", 5.5j]
)
def test_an_instant_without_zone_or_sense_is_refused(field: str, value: object) -> None:
    with pytest.raises(TriggerError) as caught:
        Job("mail", **{field: value})
    assert caught.value.field == field
    assert caught.value.value == value


def test_when_and_trigger_exclude_each_other() -> None:
    with pytest.raises(TriggerError, match="one of the two"):
        Job("mail", when=NOON, trigger=DateTrigger(NOON))


def test_a_bare_span_as_trigger_is_ambiguous() -> None:
    with pytest.raises(TriggerError, match="IntervalTrigger"):
        Job("mail", trigger=timedelta(seconds=5))


def test_a_trigger_may_be_given_as_data() -> None:
    job = Job("mail", trigger={"kind": "interval", "seconds": 5})
    assert job.trigger == IntervalTrigger(seconds=5)


def test_a_job_may_have_a_trigger_and_a_keyword() -> None:
    job = Job("mail", trigger=IntervalTrigger(seconds=5), keyword="now")
    assert job.trigger is not None
    assert job.keyword == "now"


# -- what is refused ---------------------------------------------------

LONG = "x" * 201
BAD = [
    ("id", ""),
    ("id", "   "),
    ("id", LONG),
    ("id", "a\x00b"),
    ("id", "a\nb"),
    ("id", 7),
    ("keyword", "a b"),
    ("keyword", ""),
    ("keyword", LONG),
    ("keyword", "order-*"),
    ("keyword", "a\tb"),
    ("keyword", "a\u00a0b"),
    ("keyword", 3),
    ("queue", "a b"),
    ("queue", ""),
    ("queue", "x" * 65),
    ("queue", "größe"),
    ("paused", 1),
    ("max_runs", 0),
    ("max_runs", True),
    ("max_runs", 1.0),
    ("misfire_grace", 0),
    ("misfire_grace", -1),
    ("coalesce", "newest"),
    ("overlap", "no"),
    ("max_running", 0),
    ("max_running", 101),
    ("jitter", -1),
    ("timeout", 0),
    ("timeout", timedelta(seconds=-1)),
    ("timeout", float("nan")),
    ("timeout", float("inf")),
    ("timeout", "soon"),
    ("timeout", True),
    ("timeout", timedelta(days=40_000)),
    ("retry", 3),
    ("on_lost", "forget"),
    ("max_lost", -1),
    ("keep", -1),
    ("keep_last", 101),
    ("tags", "billing"),
    ("tags", 3),
    ("note", "x" * 1001),
    ("note", None),
    ("note", "\ud800"),
    ("meta", []),
    ("meta", {"x": "y" * 16_384}),
]


@pytest.mark.parametrize(("field", "value"), BAD)
def test_a_bad_field_is_refused_by_name_with_value_and_remedy(
    field: str, value: object
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Job("mail", **{field: value})
    error = caught.value
    assert error.field == field
    assert error.value is value
    assert error.remedy
    assert str(error).startswith(f"{field}=")


def test_the_limits_themselves_are_accepted() -> None:
    job = Job(
        "mail",
        id="x" * 200,
        keyword="y" * 200,
        queue="z" * 64,
        note="n" * 1000,
        max_running=100,
        timeout=timedelta(days=36_525),
    )
    assert len(job.id) == 200


def test_a_refused_keyword_shows_the_allowed_form() -> None:
    with pytest.raises(ConfigurationError, match="1 to 200 characters, without blanks"):
        Job("mail", keyword="a b")


def test_ids_may_be_unicode_and_have_blanks_inside() -> None:
    assert Job("mail", id="Rechnung für Zoë 🧾").id == "Rechnung für Zoë 🧾"


def test_parts_of_lists_and_meta_are_named_by_their_path() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Job("mail", tags=["a", ""])
    assert caught.value.field == "tags[1]"
    with pytest.raises(ConfigurationError) as caught:
        Job("mail", meta={"a": [1, asyncio.Lock()]})
    assert caught.value.field == "meta.a[1]"


def test_an_unknown_field_is_refused_and_the_known_are_listed() -> None:
    with pytest.raises(ConfigurationError, match="misfire_grace") as caught:
        Job("mail", misfire_grace_time=3)
    assert caught.value.field == "misfire_grace_time"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"args": "ab"}, "args"),
        ({"kwargs": [1]}, "kwargs"),
        ({"kwargs": {1: 2}}, "kwargs"),
    ],
)
def test_arguments_of_the_wrong_shape_are_refused(
    values: dict[str, object], field: str
) -> None:
    with pytest.raises(ArgumentsError) as caught:
        Job("mail", **values)
    assert caught.value.field == field


def test_validating_data_raises_our_errors_too() -> None:
    with pytest.raises(ConfigurationError):
        Job.model_validate({"executor": "mail", "id": ""})
    assert Job.model_validate({"executor": "mail", "id": "a"}).id == "a"


# -- retry ---------------------------------------------------


class FlakyError(Exception):
    pass


def test_retry_takes_classes_and_names_of_errors() -> None:
    retry = Retry(5, delay=timedelta(seconds=2), errors=(FlakyError, OSError, "x.Y"))
    assert retry.attempts == 5
    assert retry.delay == timedelta(seconds=2)
    assert retry.errors == (f"{FlakyError.__module__}.FlakyError", "OSError", "x.Y")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("attempts", 0),
        ("delay", -1),
        ("delay", None),
        ("factor", 0.5),
        ("cap", 0),
        ("jitter", 1.5),
        ("errors", ValueError),
        ("timeouts", "yes"),
    ],
)
def test_a_bad_retry_is_refused_alone_and_inside_a_job(
    field: str, value: object
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Retry(**{field: value})
    assert caught.value.field == field
    with pytest.raises(ConfigurationError) as caught:
        Job("mail", retry={field: value})
    assert caught.value.field == f"retry.{field}"


# -- equality and data ---------------------------------------------------

names = st.text("abcXYZ09._-", min_size=1, max_size=20)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
    ),
    max_leaves=8,
)
spans = st.timedeltas(timedelta(microseconds=1), timedelta(days=3650))
instants = st.datetimes(
    moment(DAY).replace(tzinfo=None),
    moment(40_000 * DAY).replace(tzinfo=None),
    timezones=st.just(UTC),
)
triggers = st.one_of(
    st.none(),
    st.builds(DateTrigger, instants),
    st.builds(
        IntervalTrigger, seconds=st.integers(1, 10**6), start=st.none() | instants
    ),
    st.just(CronTrigger("0 9 * * mon-fri", tz="Europe/Paris")),
)
retries = st.builds(
    Retry,
    st.integers(1, 100),
    delay=spans,
    factor=st.floats(1, 10),
    cap=spans,
    jitter=st.floats(0, 1),
    errors=st.lists(names, max_size=2),
    timeouts=st.booleans(),
)
jobs = st.builds(
    Job,
    names,
    st.lists(values, max_size=3),
    st.dictionaries(texts, values, max_size=3),
    id=st.none() | names,
    trigger=triggers,
    keyword=st.none() | names,
    queue=st.none() | names,
    paused=st.booleans(),
    max_runs=st.none() | st.integers(1, 10**6),
    misfire_grace=st.none() | spans,
    coalesce=st.sampled_from(Coalesce),
    overlap=st.sampled_from(Overlap),
    max_running=st.integers(1, 100),
    jitter=spans,
    timeout=st.none() | spans,
    retry=st.none() | retries,
    on_lost=st.sampled_from(OnLost),
    max_lost=st.integers(0, 100),
    keep=st.none() | spans,
    keep_last=st.integers(0, 100),
    tags=st.lists(names, max_size=3),
    note=texts,
    meta=st.dictionaries(names, values, max_size=3),
)


@settings(max_examples=500, deadline=None)
@given(jobs)
def test_from_dict_undoes_to_dict(job: Job) -> None:
    data = job.to_dict()
    again = Job.from_dict(data)
    assert again == job
    assert again.to_dict() == data
    assert again.paused == job.paused
    assert Job.from_dict(json.loads(json.dumps(data))) == job
    assert Job.from_dict(job.to_dict(snapshot=True)) == job


@settings(max_examples=200, deadline=None)
@given(jobs, st.integers(0, 2**53))
def test_what_a_store_keeps_gives_the_same_job_again(job: Job, anchor: int) -> None:
    arguments = json.dumps([job.args, job.kwargs]).encode()
    spec = to_spec(job)
    own = anchor_of(job)
    definition = definition_of(job, spec, own, arguments)
    assert definition.arguments is arguments
    again = job_of(Record(definition, State(1, anchor)), now=anchor)
    assert again == job
    assert to_spec(again) == spec


def test_equality_is_of_definitions() -> None:
    one = Job("mail", id="a", kwargs={"n": 1})
    assert one == Job("mail", id="a", kwargs={"n": 1})
    assert hash(one) == hash(Job("mail", id="a", kwargs={"n": 2}))
    assert one != Job("mail", id="b", kwargs={"n": 1})
    assert one != Job("mail", id="a", kwargs={"n": 2})
    assert one != Job("mail", id="a", kwargs={"n": 1}, timeout=3)
    assert one == Job("mail", id="a", kwargs={"n": 1}, paused=True, queue="default")
    assert one != "mail"


def test_arguments_are_equal_to_what_json_makes_of_them() -> None:
    key = UUID(int=7)
    assert Job("x", [key], id="a") == Job("x", [str(key)], id="a")
    assert Job("x", ["\ud800"], id="a") != Job("x", ["b"], id="a")


def test_to_dict_names_the_argument_that_has_no_json_form() -> None:
    with pytest.raises(ArgumentsError) as caught:
        Job("mail", kwargs={"lock": asyncio.Lock()}).to_dict()
    assert caught.value.field == "kwargs.lock"
    with pytest.raises(ArgumentsError) as caught:
        Job("mail", [1, {"a": {"b": float("nan")}}]).to_dict()
    assert caught.value.field == "args[1].a.b"


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    seen: datetime


def test_rich_arguments_become_json() -> None:
    job = Job("mail", [Point(1, NOON)], {"colour": Colour.RED, "days": timedelta(1)})
    data = job.to_dict()
    assert data["args"] == [{"x": 1, "seen": "2030-01-01T12:00:00Z"}]
    assert data["kwargs"] == {"colour": "red", "days": "P1D"}


@pytest.mark.parametrize(
    ("data", "field"),
    [({}, "executor"), ("x", "job"), ({"executor": "a", "eid": 1}, "eid")],
)
def test_from_dict_refuses_what_is_no_job(data: object, field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Job.from_dict(data)  # type: ignore[arg-type]
    assert caught.value.field == field


def test_the_json_schema_describes_every_field_and_no_other() -> None:
    schema = Job.json_schema()
    json.dumps(schema)
    assert set(schema["properties"]) == set(Job("mail").to_dict())
    assert all("description" in p or "$ref" in p for p in schema["properties"].values())
    assert "version" not in schema["properties"]
    assert schema["additionalProperties"] is False


def test_a_job_can_be_pickled_and_shown() -> None:
    job = Job("mail", id="a", note="hello")
    assert pickle.loads(pickle.dumps(job)) == job
    assert repr(job) == "Job(executor='mail', id='a', note='hello')"


def test_with_changes_checks_and_keeps_the_rest() -> None:
    job = Job(Mail, id="a", trigger=DateTrigger(NOON), timeout=3)
    changed = job.with_changes(timeout=5)
    assert (changed.timeout, changed.trigger) == (timedelta(seconds=5), job.trigger)
    assert changed.target is Mail
    later = job.with_changes(when=timedelta(seconds=1))
    assert (later.trigger, later.when) == (None, timedelta(seconds=1))
    assert not changed.drawn
    drawn = Job(Mail)
    assert drawn.with_changes(note="x").drawn
    assert drawn.with_changes(keep=None).keep == timedelta(0)
    with pytest.raises(ConfigurationError):
        job.with_changes(timeout=0)


# -- snapshots ---------------------------------------------------


def record(state: State, **spec: object) -> Record:
    given = {"trigger": IntervalTrigger(seconds=1).rule(), **spec}
    return Record(Definition("a", Spec("mail", **given), 0), state)  # type: ignore[arg-type]


def ended(slot: int, kind: RowKind = RowKind.FAILED, *, started: int = 1) -> Row:
    return Row(
        "a", kind, slot + 5, slot, slot, 1, str(slot), Cause.SLOT, 1, True, 9,
        "peer", Reason.NONE, started, 2, b'{"type":"ValueError","message":"no"}',
    )  # fmt: skip


def test_a_snapshot_shows_the_state() -> None:
    state = State(
        7,
        created=5 * SECOND,
        version=3,
        next=10 * SECOND,
        runs=(LiveRun(7, "p", 9, 9, Pending("9", Cause.SLOT, 9 * SECOND, 9, 1)),),
        waiting=(Pending("f", Cause.KEYWORD, 1, 1),),
        counts=Counts(fired=2, failed=1),
        recent=(pack_row(ended(8 * SECOND)),),
    )
    job = job_of(record(state, max_running=2), now=9 * SECOND)
    assert (job.version, job.state) == (3, JobState.ACTIVE)
    assert job.next_fire_time == moment(10 * SECOND)
    assert job.last_fire_time == moment(9 * SECOND)
    assert (job.running, job.waiting) == (1, 1)
    assert job.created_at == moment(5 * SECOND)
    assert job.last_outcome is Outcome.FAILED
    assert job.recent[0].fire_time == moment(8 * SECOND)
    assert job.counts.slots == 2
    assert job.queue == "default"
    data = job.to_dict(snapshot=True)
    assert json.loads(json.dumps(data))["state"] == "active"
    assert data["counts"]["slots"] == 2
    assert data["last_outcome"] == "failed"
    assert job.with_changes(note="x").version == 3


def test_a_job_that_was_never_stored_has_no_state() -> None:
    job = Job("mail")
    assert (job.version, job.state, job.next_fire_time) == (0, None, None)
    assert (job.last_outcome, job.created_at, job.recent) == (None, None, ())


def test_slots_that_overlap_will_skip_are_not_next() -> None:
    run = LiveRun(7, "p", 9, 9, Pending("1", Cause.SLOT, SECOND, SECOND, 1))
    state = State(7, 0, next=2 * SECOND, runs=(run,))
    now = 5 * SECOND + 1
    assert job_of(record(state), now=now).next_fire_time == moment(6 * SECOND)
    queued = record(state, overlap=Overlap.QUEUE)
    assert job_of(queued, now=now).next_fire_time == moment(2 * SECOND)


def test_a_paused_job_has_no_next_fire_time() -> None:
    state = State(
        7, 0, status=JobState.PAUSED, next=2, pause_until=DAY, pause_note="holiday"
    )
    job = job_of(record(state), now=1)
    assert (job.paused, job.next_fire_time) == (True, None)
    assert (job.pause_note, job.pause_until) == ("holiday", moment(DAY))


def test_arguments_kept_apart_leave_the_job_abridged() -> None:
    plain = record(State(1, 0))
    apart = replace(plain.definition, arguments=Apart("k", 9))
    job = job_of(Record(apart, plain.state), now=0)
    assert job.abridged
    assert job.args == ()
    assert not job_of(plain, now=0).abridged


def test_an_unreadable_row_does_not_hide_the_job() -> None:
    good = pack_row(ended(SECOND))
    job = job_of(record(State(1, 0, recent=("garbage", good))), now=0)
    assert len(job.recent) == 1
    assert job.last_fire_time == moment(SECOND)
    assert job.last_outcome is None


def test_a_refused_definition_is_said_to_differ_as_people_spell_it() -> None:
    one = Definition("a", Spec("mail"), None, b'[[1],{"a":1}]')
    for arguments, names in (
        (b'[[1],{"a":2}]', ("kwargs",)),
        (b'[[2],{"a":1}]', ("args",)),
        (b"", ("args", "kwargs")),
        (b'[[1], {"a":1}]', ()),
        (b"{broken", ("args", "kwargs")),
        (Apart("k", 9, "00"), ("args", "kwargs")),
    ):
        assert planning.differing(one, replace(one, arguments=arguments)) == names
    assert planning.differing(one, one) == ()


def test_a_stored_job_shows_its_last_and_next_fire_time() -> None:
    state = State(1, 0, next=90 * SECOND, recent=(pack_row(ended(30 * SECOND)),))
    spec = Spec("mail", IntervalTrigger(seconds=30).rule())
    stored = Record(Definition("a", spec, 0), state)
    shown = repr(job_of(stored, now=31 * SECOND))
    assert "state='active'" in shown
    assert "next_fire_time='1970-01-01T00:01:30+00:00'" in shown
    assert "last_fire_time='1970-01-01T00:00:30+00:00'" in shown


def test_a_value_fades_at_its_instant() -> None:
    done = ended(SECOND, RowKind.SUCCEEDED)
    row = replace(done, value=b'"secret"', value_until=9 * SECOND)
    state = State(1, 0, recent=(pack_row(row),))
    for now, faded in ((9 * SECOND - 1, False), (9 * SECOND, True), (10**12, True)):
        run = run_of(row, now=now)
        entry = entry_of(row, now=now)
        [recent] = job_of(record(state), now=now).recent
        for each in (run, entry.run, recent):
            assert each is not None
            assert each.faded is faded
            assert each.result == (None if faded else "secret")
            assert (b"secret" in each.value) is not faded
    # As it is told when it has just ended.
    assert run_of(row).result == "secret"
    assert run_of(replace(row, value_until=row.at)).faded
    assert not run_of(replace(row, value_until=0), now=10**15).faded


def test_a_run_knows_when_it_was_due() -> None:
    row = ended(SECOND)
    assert run_of(row).due == run_of(row).fire_time
    moved = replace(row, due=SECOND + 7, started=2 * SECOND + 7, at=5 * SECOND)
    run = run_of(moved)
    assert run.fire_time == moment(SECOND)
    assert run.due == moment(SECOND + 7)
    assert (run.lateness, run.late) == (timedelta(seconds=1), True)
    assert run.duration == moment(5 * SECOND) - moment(2 * SECOND + 7)
    punctual = run_of(replace(moved, started=2 * SECOND + 6))
    assert not punctual.late
    never = run_of(replace(moved, started=0))
    assert (never.lateness, never.late, never.duration) == (None, False, None)


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        ('[[],{"n":4}]', '[[], {"n": 4.0}]', ()),
        ('[[],{"n":[1,{"m":4e2}]}]', '[[],{"n":[1.0,{"m":400}]}]', ()),
        ('[[],{"a":1,"b":2}]', '[[],{"b":2,"a":1}]', ()),
        ('[[1],{"n":true}]', '[[1.0],{"n":1}]', ("kwargs",)),
        ("[[4],{}]", '[["4"],{}]', ("args",)),
        ("[[4],{}]", "[[4.5],{}]", ("args",)),
        ("[[0.1],{}]", "[[0.2],{}]", ("args",)),
        (
            f"[[4,{'1,' * 600}1],{{}}]",
            f"[[4.0,{'1,' * 600}1],{{}}]",
            ("args", "kwargs"),
        ),
    ],
)
def test_arguments_are_compared_by_value(
    first: str, second: str, names: tuple[str, ...]
) -> None:
    """A peer that knows the executor writes 4.0 where another writes 4."""
    one = Definition("a", Spec("work"), None, first.encode())
    other = replace(one, arguments=second.encode())
    assert planning.differing(one, other) == names
    assert planning.differing(other, one) == names


def test_differing_fields_have_their_public_names() -> None:
    one = Definition("a", Spec("mail"), 1, b'[[1],{"a":1}]')
    assert fields_differing(one, one) == ()
    other = Definition("a", Spec("mail", timeout=3, declared=1), 2, b'[[1],{"a":2}]')
    assert fields_differing(one, other) == ("kwargs", "timeout", "trigger")
    assert fields_differing(one, replace(one, arguments=b"")) == ("args", "kwargs")
    apart = replace(one, arguments=Apart("k", 9))
    assert fields_differing(one, apart) == ("args", "kwargs")
    assert arguments_of(b"") == ((), {})


def test_the_scheduler_may_say_queue_and_executor() -> None:
    spec = to_spec(Job("Mail", id="a"), queue="slow", declared=4, executor="mail")
    assert (spec.queue, spec.declared, spec.executor) == ("slow", 4, "mail")
    assert to_spec(Job("Mail", queue="fast"), queue="slow").queue == "fast"
    assert to_spec(Job("Mail")).queue == "default"


# -- runs ---------------------------------------------------


def test_a_run_tells_of_its_error() -> None:
    run = run_of(ended(SECOND))
    assert run.run_id == f"a/{SECOND}/1"
    assert (run.outcome, run.final, run.missed) == (Outcome.FAILED, True, 2)
    assert run.error is not None
    assert (run.error.type, run.error.message) == ("ValueError", "no")
    assert run.result is None
    assert run.started_at == moment(1)
    assert run.ended_at == moment(SECOND + 5)


def test_a_run_tells_of_its_result() -> None:
    row = replace(ended(SECOND, RowKind.SUCCEEDED), value=b'{"n":1}')
    assert run_of(row).result == {"n": 1}
    assert run_of(row).error is None
    shown = run_of(replace(row, value=b'{"$repr":"<Lock>"}'))
    assert (shown.result, shown.result_is_repr) == ("<Lock>", True)
    assert run_of(replace(row, value=b"")).result is None
    assert run_of(replace(row, value=b"{broken")).result == "{broken"


def test_a_run_that_was_handed_back_has_no_outcome() -> None:
    run = run_of(replace(ended(SECOND, RowKind.HANDED_BACK), final=False))
    assert (run.outcome, run.final) == (None, False)
    assert entry_of(ended(SECOND)).run is not None


def test_a_row_of_slots_is_an_entry_without_a_run() -> None:
    row = Row("a", RowKind.SKIPPED, 9, 1 * SECOND, 4 * SECOND, 4, reason=Reason.OVERLAP)
    entry = entry_of(row)
    assert (entry.first, entry.last) == (moment(SECOND), moment(4 * SECOND))
    assert (entry.count, entry.reason, entry.run) == (4, Reason.OVERLAP, None)
    created = entry_of(Row("a", RowKind.CREATED, 9))
    assert (created.first, created.at) == (None, moment(9))
    with pytest.raises(ValueError, match="skipped"):
        run_of(row)


def test_firings_are_equal_by_identity() -> None:
    one = Firing("a", "1", Cause.SLOT, NOON)
    assert one == Firing("a", "1", Cause.MANUAL, moment(0))
    assert len({one, run_of(replace(ended(1), key="1")).firing}) == 1
    assert one.id == "a/1"
