"""The context: what an executor learns of its run."""

from __future__ import annotations

import threading

import pytest

from aiosched.context import Context
from aiosched.enums import Cause, JobState, Reason
from aiosched.instants import SECOND, moment
from aiosched.records import Apart, Definition, LiveRun, Pending, Spec, Start


def context(cause: Cause = Cause.KEYWORD, payload: object = b'{"n":1}') -> Context:
    firing = Pending(
        "f1",
        cause,
        3 * SECOND,
        0,
        attempt=2,
        missed=4,
        payload=payload,  # type: ignore[arg-type]
    )
    run = LiveRun(77, "peer", 9 * SECOND, 3 * SECOND, firing)
    spec = Spec("mail", keyword="paid", tags=("x",))
    return Context(Start(Definition("a", spec, None, b'[[1],{"k":2}]'), run, 5))


def test_it_tells_of_the_run() -> None:
    it = context()
    assert (it.job_id, it.run_id, it.attempt, it.fence) == ("a", "a/f1/2", 2, 77)
    assert it.fire_time == moment(3 * SECOND)
    assert (it.cause, it.keyword, it.missed) == (Cause.KEYWORD, "paid", 4)
    assert it.payload == {"n": 1}
    assert it.payload is it.payload
    assert it.peer == "peer"
    assert "a/f1/2" in repr(it)


def test_the_job_is_the_one_that_was_claimed() -> None:
    it = context()
    assert (it.job.id, it.job.version, it.job.state) == ("a", 5, JobState.ACTIVE)
    assert (it.job.args, it.job.kwargs, it.job.tags) == ((1,), {"k": 2}, ("x",))
    assert it.job is it.job


def test_a_slot_has_neither_keyword_nor_payload() -> None:
    it = context(Cause.SLOT, b"")
    assert (it.keyword, it.payload) == (None, None)


def test_a_payload_must_have_been_resolved() -> None:
    with pytest.raises(TypeError):
        _ = context(payload=Apart("k", 3)).payload


def test_the_first_reason_to_end_stays() -> None:
    it = context()
    assert (it.cancelled, it.cancel_reason) == (False, Reason.NONE)
    it._cancel(Reason.USER)
    it._cancel(Reason.SHUTDOWN)
    assert (it.cancelled, it.cancel_reason) == (True, Reason.USER)


def test_a_thread_sees_that_it_is_to_end() -> None:
    it = context()
    ready, seen = threading.Event(), []

    def work() -> None:
        ready.wait(5)
        seen.append(it.cancelled)

    worker = threading.Thread(target=work)
    worker.start()
    it._cancel(Reason.TIMEOUT)
    ready.set()
    worker.join(5)
    assert seen == [True]
