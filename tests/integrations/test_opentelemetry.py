"""Traces: one from the call to the run on another peer, and none where none is."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased
from opentelemetry.trace import SpanContext, SpanKind, StatusCode, TraceFlags

from aiosched import (
    Context,
    IntervalTrigger,
    Job,
    JobNotFoundError,
    MemoryJobStore,
    Retry,
    Scheduler,
    SchedulerStateError,
)
from aiosched.integrations.opentelemetry import ASKING, CHANGING, Traces, pack, unpack
from tests import waiting

wait_until = functools.partial(waiting.wait_until, timeout=60.0)

FAST: dict[str, Any] = {
    "lease": 2.0,
    "terms": {"beat": 0.3, "member_timeout": 2.0, "shards": 4},
}


class Seen:
    """One process, as far as its traces go: a provider of its own."""

    def __init__(self, sampler: Any = ALWAYS_ON) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.traces = Traces(self.provider)
        self.tracer = self.provider.get_tracer("test")

    def spans(self, name: str = "") -> list[ReadableSpan]:
        found = self.exporter.get_finished_spans()
        return [span for span in found if span.name.startswith(name)]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.spans(name)
        return span


@asynccontextmanager
async def pair(
    store: Any, sampler: Any = ALWAYS_ON
) -> AsyncIterator[tuple[Scheduler, Scheduler, Seen, Seen]]:
    """A client and a worker on one store, each with traces of its own."""
    asks, runs = Seen(sampler), Seen(sampler)
    client = Scheduler(store, name="client", run_jobs=False, **FAST)
    worker = Scheduler(store, name="worker", **FAST)
    worker.register(_work, name="work")
    worker.register(_in_thread, name="in_thread")
    worker.register(_fail, name="fail")
    asks.traces.watch(client)
    runs.traces.watch(worker)
    async with worker, client:
        yield client, worker, asks, runs


def _current() -> str:
    return f"{trace.get_current_span().get_span_context().trace_id:032x}"


PAYLOADS: list[Any] = []


async def _work(context: Context, value: int = 0) -> str:
    PAYLOADS.append(context.payload)
    await asyncio.sleep(0)
    return _current()


def _in_thread() -> list[str]:
    return [_current(), threading.current_thread().name]


async def _fail() -> None:
    raise KeyError("broken")


def trace_of(span: ReadableSpan) -> str:
    context = span.get_span_context()
    assert context is not None
    return f"{context.trace_id:032x}"


def parent_of(span: ReadableSpan) -> int:
    assert span.parent is not None
    return span.parent.span_id


def id_of(span: ReadableSpan) -> int:
    context = span.get_span_context()
    assert context is not None
    return context.span_id


async def test_one_trace_from_a_fire_to_the_run_on_another_peer(redis_url: str) -> None:
    async with pair(redis_url) as (client, _, asks, runs):
        await client.schedule(Job("work", id="w", keyword="paid"))
        with asks.tracer.start_as_current_span("request") as request:
            (firing,) = await client.fire_job("paid", {"value": 3})
        inside = await client.result(firing, timeout=10)
        await wait_until(lambda: len(runs.spans("run")) == 1, "the run's span")
        fired, run = asks.one("fire_job"), runs.one("run work")
        assert trace_of(fired) == trace_of(run) == inside
        assert parent_of(fired) == request.get_span_context().span_id
        assert parent_of(run) == id_of(fired)
        assert fired.kind is SpanKind.PRODUCER
        assert run.kind is SpanKind.CONSUMER
        said = dict(run.attributes or {})
        assert said["messaging.system"] == "aiosched"
        assert said["messaging.operation.type"] == "process"
        assert said["messaging.destination.name"] == "default"
        assert said["messaging.message.id"] == f"w/{firing.key}/1"
        assert said["aiosched.outcome"] == "succeeded"
        assert said["aiosched.cause"] == "keyword"
        # The claim is linked with what it took.
        claim = runs.one("claim")
        (link,) = claim.links
        assert link.context.span_id == id_of(fired)
        # The payload is the user's, and the definition is what it was.
        assert PAYLOADS[-1] == {"value": 3}
        again = await client.schedule(Job("work", id="w", keyword="paid"))
        assert again.version == 1


async def test_a_job_that_runs_once_belongs_to_who_scheduled_it(redis_url: str) -> None:
    async with pair(redis_url) as (client, _, asks, runs):
        job = await client.schedule(Job("in_thread"))
        inside, thread = await client.result(job, timeout=10)
        assert "aiosched" in thread
        manual = await client.schedule(Job("work", id="later", when=timedelta(hours=1)))
        firing = await client.start_job(manual)
        started = await client.result(firing, timeout=10)
        await wait_until(lambda: len(runs.spans("run")) == 2, "both runs")
        first, _ = asks.spans("schedule")
        assert inside == trace_of(first) == trace_of(runs.one("run in_thread"))
        assert started == trace_of(asks.one("start_job"))
        assert started != trace_of(asks.spans("schedule")[1])


async def test_each_run_of_a_job_that_repeats_is_a_trace_with_a_link() -> None:
    async with pair(MemoryJobStore()) as (client, _, asks, runs):
        every = IntervalTrigger(milliseconds=50)
        await client.schedule(Job("work", id="w", trigger=every, max_runs=2))
        await wait_until(lambda: len(runs.spans("run")) == 2, "two runs")
        scheduled = asks.one("schedule")
        one, two = runs.spans("run")
        assert len({trace_of(one), trace_of(two), trace_of(scheduled)}) == 3
        for run in (one, two):
            assert run.parent is None
            (link,) = run.links
            assert link.context.span_id == id_of(scheduled)


async def test_failures_are_recorded_and_each_attempt_is_a_span() -> None:
    async with pair(MemoryJobStore()) as (client, _, asks, runs):
        retry = Retry(attempts=2, delay=timedelta(milliseconds=10))
        await client.schedule(Job("fail", id="f", retry=retry))
        await wait_until(lambda: len(runs.spans("run")) == 2, "both attempts")
        parent = id_of(asks.one("schedule"))
        for number, run in enumerate(runs.spans("run")[:2], 1):
            assert parent_of(run) == parent
            said = dict(run.attributes or {})
            assert said["aiosched.attempt"] == number
            assert said["error.type"] == "KeyError"
            assert run.status.status_code is StatusCode.ERROR
            (event,) = run.events
            assert event.name == "exception"
        await client.schedule(Job("fail", id="asked", keyword="go", retry=retry))
        await client.fire_job("go")
        await wait_until(lambda: len(runs.spans("run")) == 4, "those of the fire")
        fired = id_of(asks.one("fire_job"))
        assert [parent_of(run) for run in runs.spans("run")[2:]] == [fired, fired]
        with pytest.raises(JobNotFoundError):
            await client.pause("nobody")
        paused = asks.one("pause")
        assert dict(paused.attributes or {})["error.type"] == "JobNotFoundError"
        assert paused.status.status_code is StatusCode.ERROR


async def test_what_is_not_sampled_leaves_no_span_on_any_peer() -> None:
    store = MemoryJobStore()
    # Who has no parent would be sampled; who has one does as that does.
    async with pair(store, ParentBased(ALWAYS_ON)) as (client, _, asks, runs):
        context = SpanContext(7, 9, is_remote=True, trace_flags=TraceFlags(0))
        with trace.use_span(trace.NonRecordingSpan(context)):
            job = await client.schedule(Job("work"))
        assert await client.result(job, timeout=10) != "0" * 32
        assert asks.spans() == runs.spans() == []


async def test_where_nothing_is_sampled_the_runs_go_on() -> None:
    async with pair(MemoryJobStore(), ALWAYS_OFF) as (client, _, asks, runs):
        job = await client.schedule(Job("work"))
        await client.result(job, timeout=10)
        assert asks.spans() == runs.spans() == []


async def test_without_a_provider_nothing_is_stored() -> None:
    scheduler = Scheduler()
    Traces().watch(scheduler)
    async with scheduler:
        scheduler.register(_work, name="work")
        await scheduler.schedule(Job("work", id="w", keyword="go"))
        records = await scheduler._opened().read(["w"])
        assert records["w"].state.trace == ""
        (firing,) = await scheduler.fire_job("go")
        assert await scheduler.result(firing, timeout=5) == "0" * 32


async def test_a_trace_is_not_taken_over_from_where_the_scheduler_was_started() -> None:
    seen = Seen()
    scheduler = Scheduler()
    seen.traces.watch(scheduler)
    seen.traces.watch(scheduler)  # twice is as good as once
    with seen.tracer.start_as_current_span("start-up"):
        await scheduler.start()
    try:
        scheduler.register(_work, name="work")
        job = await scheduler.schedule(Job("work"))
        await scheduler.result(job, timeout=5)
        await wait_until(lambda: len(seen.spans("run")) == 1, "the run's span")
        assert trace_of(seen.one("run")) == trace_of(seen.one("schedule"))
        assert trace_of(seen.one("run")) != trace_of(seen.one("start-up"))
    finally:
        await scheduler.shutdown()
    async with Scheduler() as started:
        with pytest.raises(SchedulerStateError):
            seen.traces.watch(started)


def test_the_verbs_that_are_traced_exist() -> None:
    for name in (*ASKING, *CHANGING):
        assert asyncio.iscoroutinefunction(getattr(Scheduler, name))


@given(
    st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.sampled_from([0, 1, 3])
)
def test_a_context_comes_back(trace_id: int, span_id: int, flags: int) -> None:
    text = pack(SpanContext(trace_id, span_id, False, TraceFlags(flags)))
    assert len(text) == 34
    back = unpack(text)
    assert back is not None
    assert (back.trace_id, back.span_id, back.trace_flags) == (trace_id, span_id, flags)
    assert back.is_remote


@given(st.text(max_size=40))
def test_anything_else_is_no_context(text: str) -> None:
    found = unpack(text)
    assert found is None or pack(found) == text
