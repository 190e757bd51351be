"""Traces of OpenTelemetry, from the call that asks for a run to the run itself.

::

    Traces().watch(scheduler)  # before it is started, on every peer

The context of a call travels in the record of the job, beside the payload and never
in it, so that a run on another peer, after a restart or an hour later belongs to the
trace that asked for it.  What becomes a span, and what hangs under what, stands in
``docs/explanation/watching.md``.
"""

from __future__ import annotations

import base64
import binascii
import functools
from collections.abc import Awaitable, Callable, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

from aiosched._engine.observing import Observer, Wrote
from aiosched.context import Context as RunContext
from aiosched.enums import Cause, Outcome
from aiosched.jobs import Job
from aiosched.records import Ended, Start
from aiosched.scheduler import Scheduler
from aiosched.triggers.date import DateTrigger

try:
    from opentelemetry import context as contexts
    from opentelemetry import trace
    from opentelemetry.context import Context
    from opentelemetry.trace import (
        Link,
        NonRecordingSpan,
        Span,
        SpanContext,
        SpanKind,
        Status,
        StatusCode,
        TraceFlags,
        Tracer,
        TracerProvider,
    )
except ImportError as _error:
    raise ImportError(
        "the API of OpenTelemetry is not installed: pip install 'aiosched[traces]'",
        name="opentelemetry",
    ) from _error

__all__ = ["ASKING", "CHANGING", "Traces"]

ASKING = (
    "backfill",
    "fire_job",
    "schedule",
    "schedule_many",
    "start_job",
    "start_jobs",
)
"""Verbs that ask for runs; their spans are those of producers."""

CHANGING = (
    "modify",
    "pause",
    "pause_jobs",
    "remove_job",
    "remove_jobs",
    "resume",
    "resume_jobs",
    "stop_job",
    "stop_jobs",
)
"""Verbs that change jobs."""

_SYSTEM = {"messaging.system": "aiosched"}
_UNSAMPLED = "-"
"""Is stored where the caller's trace is not sampled: neither is the run's."""


class Traces:
    """Makes spans of what schedulers do, for any number of them."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        """Take the tracer of a provider.

        Args:
            provider: Whose; None: of the one that is set for the process, now or
                later.  Where none is set nothing is traced.
        """
        self._tracer = trace.get_tracer("aiosched", tracer_provider=provider)

    def watch(self, scheduler: Scheduler) -> None:
        """Trace a scheduler; before it is started.  Twice is as good as once.

        Raises:
            SchedulerStateError: It has been started already.
        """
        if any(isinstance(one, _Tracing) for one in scheduler._observers):
            return
        scheduler._observe(_Tracing(self._tracer, scheduler))
        for name in ASKING:
            self._trace(scheduler, name, SpanKind.PRODUCER)
        for name in CHANGING:
            self._trace(scheduler, name, SpanKind.CLIENT)

    def _trace(self, scheduler: Scheduler, name: str, kind: SpanKind) -> None:
        verb = getattr(scheduler, name, None)
        if verb is not None:
            traced = _traced(self._tracer, scheduler, name, kind, verb)
            setattr(scheduler, name, traced)


# -- verbs ------------------------------------------------------------------------


def _traced(
    tracer: Tracer,
    scheduler: Scheduler,
    name: str,
    kind: SpanKind,
    verb: Callable[..., Awaitable[Any]],
) -> Callable[..., Awaitable[Any]]:
    """Return a verb that is carried out within a span of its own."""
    fixed: dict[str, Any] = {
        **_SYSTEM,
        "messaging.operation.name": name,
        "messaging.client.id": scheduler.id,
        "aiosched.namespace": scheduler.namespace,
    }
    if kind is SpanKind.PRODUCER:
        fixed["messaging.operation.type"] = "send"

    @functools.wraps(verb)
    async def traced(*args: Any, **kwargs: Any) -> Any:
        subject, said = _of_call(name, args, kwargs)
        title = f"{name} {subject}" if subject else name
        span = tracer.start_span(title, kind=kind, attributes={**fixed, **said})
        with trace.use_span(
            span,
            end_on_exit=True,
            record_exception=False,
            set_status_on_exception=False,
        ):
            try:
                answer = await verb(*args, **kwargs)
            except BaseException as error:
                _fail(span, type(error).__qualname__, error)
                raise
            if isinstance(answer, list) and span.is_recording():
                span.set_attribute("messaging.batch.message_count", len(answer))
            return answer

    return traced


def _of_call(
    name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[str, dict[str, str]]:
    """Return what a call is about: a word of which there are few, and attributes."""
    keyword = kwargs.get("keyword")
    first = args[0] if args else kwargs.get("job", keyword)
    if isinstance(first, Job):
        said = {"aiosched.job.id": first.id, "aiosched.executor": first.executor}
        if first.queue is not None:
            said["messaging.destination.name"] = first.queue
        return first.executor, said
    if name == "fire_job" and isinstance(first, str):
        return first, {"messaging.destination.name": first}
    if isinstance(first, str):
        return "", {"aiosched.job.id": first}
    return "", {}


def _fail(span: Span, kind: str, error: BaseException | None, text: str = "") -> None:
    if span.is_recording():
        span.set_attribute("error.type", kind)
        if error is not None:
            span.record_exception(error)
            text = str(error)
        span.set_status(Status(StatusCode.ERROR, text or kind))


# -- what travels -------------------------------------------------------------------


def pack(context: SpanContext) -> str:
    """Write a span's context as 34 letters, digits, ``-`` and ``_``.

    The ids and flags of the header ``traceparent`` of W3C Trace Context
    (https://www.w3.org/TR/trace-context/), 25 bytes in base64url.  ``tracestate``
    does not travel.
    """
    data = b"".join(
        (
            context.trace_id.to_bytes(16, "big"),
            context.span_id.to_bytes(8, "big"),
            bytes([int(context.trace_flags) & 0xFF]),
        )
    )
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unpack(text: str) -> SpanContext | None:
    """Read what :func:`pack` wrote; None: it is something else."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
    if len(data) != 25:
        return None
    context = SpanContext(
        int.from_bytes(data[:16], "big"),
        int.from_bytes(data[16:24], "big"),
        is_remote=True,
        trace_flags=TraceFlags(data[24]),
    )
    return context if context.is_valid else None


def _unsampled(start: Start) -> SpanContext:
    """Return a context that no sampler that heeds its parent takes."""
    name = f"{start.definition.id}/{start.run.firing.key}/{start.run.fence}"
    drawn = blake2b(name.encode(), digest_size=24).digest()
    return SpanContext(
        int.from_bytes(drawn[:16], "big") or 1,
        int.from_bytes(drawn[16:], "big") or 1,
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.DEFAULT),
    )


def _asked_by(start: Start) -> tuple[str, bool]:
    """Return what travelled with a run, and whether the run belongs to that trace.

    The runs of a job that repeats would make one trace that never ends: each is a
    trace of its own, with a link to the call that scheduled the job.
    """
    firing = start.run.firing
    if firing.cause is not Cause.SLOT:
        return firing.trace, True
    return start.trace, isinstance(start.definition.spec.trigger, DateTrigger)


# -- runs and claims -----------------------------------------------------------------


class _Begun(NamedTuple):
    span: Span
    token: Any


class _Tracing(Observer):
    """What one scheduler does, as spans."""

    def __init__(self, tracer: Tracer, scheduler: Scheduler) -> None:
        self._tracer = tracer
        self._clock = scheduler._clock
        self._fixed: dict[str, Any] = {
            **_SYSTEM,
            "messaging.client.id": scheduler.id,
            "aiosched.namespace": scheduler.namespace,
        }

    def carry(self) -> str:
        """Return the context of the caller's span."""
        context = trace.get_current_span().get_span_context()
        if not context.is_valid:
            return ""
        return pack(context) if context.trace_flags.sampled else _UNSAMPLED

    def wrote(self, told: Wrote) -> None:
        """Tell of a claim that has begun runs which somebody traces."""
        if not told.claim:
            return
        links: list[Link] = []
        starts = 0
        for change in told.changes.values():
            for start in change.starts:
                starts += 1
                carried, _ = _asked_by(start)
                context = unpack(carried) if carried else None
                if context is not None:
                    links.append(Link(context))
        if not links:
            return
        began = self._clock.wall() * 1_000 - round(told.seconds * 1e9)
        said = {
            **self._fixed,
            "messaging.operation.name": "claim",
            "messaging.operation.type": "receive",
            "messaging.batch.message_count": starts,
        }
        span = self._tracer.start_span(
            "claim",
            Context(),
            SpanKind.CLIENT,
            attributes=said,
            links=links,
            start_time=began,
        )
        span.end()

    def began(self, start: Start) -> object:
        """Open the span of a run, and make it the current one of its task."""
        carried, belongs = _asked_by(start)
        # Nothing is taken over from where the scheduler happened to be started.
        parent = Context()
        links: tuple[Link, ...] = ()
        if carried == _UNSAMPLED and belongs:
            span: Span = NonRecordingSpan(_unsampled(start))
        else:
            context = unpack(carried) if carried else None
            if context is not None and belongs:
                parent = trace.set_span_in_context(NonRecordingSpan(context), parent)
            elif context is not None:
                links = (Link(context),)
            span = self._tracer.start_span(
                f"run {start.definition.spec.executor}",
                parent,
                SpanKind.CONSUMER,
                attributes=self._of_run(start),
                links=links,
            )
        return _Begun(span, contexts.attach(trace.set_span_in_context(span, parent)))

    def _of_run(self, start: Start) -> dict[str, Any]:
        context, spec = RunContext(start), start.definition.spec
        return {
            **self._fixed,
            "messaging.operation.name": "run",
            "messaging.operation.type": "process",
            "messaging.destination.name": spec.queue,
            "messaging.message.id": context.run_id,
            "aiosched.job.id": context.job_id,
            "aiosched.executor": spec.executor,
            "aiosched.cause": context.cause.value,
            "aiosched.attempt": context.attempt,
            "aiosched.fence": context.fence,
            "aiosched.lateness": context.lateness.total_seconds(),
        }

    def ended(
        self, began: Any, start: Start, ended: Ended | None, error: BaseException | None
    ) -> None:
        """Close the span of a run, with what became of it."""
        del start
        contexts.detach(began.token)
        span: Span = began.span
        if ended is not None and span.is_recording():
            span.set_attribute("aiosched.outcome", ended.outcome.value)
            if ended.reason.value:
                span.set_attribute("aiosched.reason", ended.reason.value)
            if ended.outcome is Outcome.FAILED:
                kind = type(error).__qualname__ if error else ended.reason.value
                _fail(span, kind, error)
            elif ended.outcome is Outcome.TIMED_OUT:
                _fail(span, "timeout", None, "it reached its time limit")
        span.end()
