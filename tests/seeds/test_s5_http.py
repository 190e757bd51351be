"""Jobs that are HTTP requests to a backend: S5-07 to S5-10 and S5-16."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import os
import sys
import threading
from pathlib import Path
from typing import Any

import fastapi
import pytest

from aiosched import (
    InvalidInputError,
    Job,
    Outcome,
    Retry,
    RowKind,
    Run,
    Scheduler,
)
from aiosched.integrations.http import (
    HttpOptions,
    HttpRequest,
    JobCall,
    JobReceiver,
    Secret,
    Target,
)
from aiosched.integrations.rq_service import schedule_periodic
from tests.certificates import Authority
from tests.seeds.http import KEY, OTHER_KEY, Backend, serving
from tests.seeds.stage import Stage
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]


async def ran(scheduler: Scheduler, job: Job) -> Run:
    """Schedule a job and wait for its final attempt."""
    return await scheduler.wait(await scheduler.schedule(job), timeout=20)


# --- S5-07: a job that sends an HTTP request ------------------------------------------


@pytest.mark.seed("S5-07")
async def test_a_request_is_sent_once_a_tick_and_again_under_the_same_key(
    stage: Stage,
) -> None:
    backend = Backend()
    backend.answer(503)
    with serving(backend) as url:
        request = HttpRequest(
            [Target(f"{url}/v1/jobs", sign="jobs")], secrets={"jobs": KEY}
        )
        async with stage:
            peer = stage.build("p0")
            peer.register(request)
            await peer.start()
            job = request.job(
                f"{url}/v1/jobs/breaking-news",
                json={"top": 3},
                headers={"X-Kind": "news"},
                retry=Retry(3, delay=0.01),
            )
            run = await ran(peer, job)
            second = await ran(peer, request.job(f"{url}/v1/jobs/other"))
    assert run.outcome is Outcome.SUCCEEDED
    assert run.attempt == 2
    assert run.result["status"] == 200
    first, again, third = backend.asked
    assert first.method == "POST"
    assert first.path == "/v1/jobs/breaking-news"
    assert first.json() == {"top": 3}
    assert first.headers["x-kind"] == "news"
    assert first.headers["content-type"] == "application/json"
    # The draft's structured field: a string in quotes, the same over the attempts.
    key = f'"{run.firing.id}"'
    assert first.headers["idempotency-key"] == again.headers["idempotency-key"] == key
    assert first.headers["webhook-id"] == again.headers["webhook-id"] == run.firing.id
    assert int(again.headers["aiosched-fence"]) > int(first.headers["aiosched-fence"])
    assert [one.headers["aiosched-attempt"] for one in (first, again)] == ["1", "2"]
    assert third.headers["webhook-id"] == second.firing.id != run.firing.id


@pytest.mark.seed("S5-07")
async def test_the_signature_is_that_of_standard_webhooks() -> None:
    backend = Backend()
    with serving(backend) as url:
        request = HttpRequest([Target(url, sign="jobs")], secrets={"jobs": KEY})
        async with Scheduler() as scheduler:
            scheduler.register(request)
            await ran(scheduler, request.job(f"{url}/x", body="ä", method="PUT"))
    (asked,) = backend.asked
    headers = asked.headers
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode()
    key = base64.b64decode(KEY.removeprefix("whsec_"))
    right = hmac.new(key, signed + "ä".encode(), hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(right).decode()}"


def test_the_example_of_the_specification_verifies() -> None:
    from aiosched.integrations.http.signing import signature

    # Of the documentation of the reference implementations.
    key = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").keys()[0]
    body = b'{"test": 2432232314}'
    found = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


_STATUSES: list[tuple[int, dict[str, str], int]] = [
    (503, {}, 2),
    (429, {}, 2),
    (500, {}, 2),
    (409, {"retry_after": "0"}, 2),
    (409, {}, 1),
    (400, {}, 1),
    (404, {}, 1),
    (501, {}, 1),
    (302, {"location": "/elsewhere"}, 1),
]


@pytest.mark.seed("S5-07")
async def test_the_status_says_whether_another_attempt_may_help() -> None:
    backend = Backend()
    with serving(backend) as url:
        request = HttpRequest([url])
        async with Scheduler() as scheduler:
            scheduler.register(request)
            for status, headers, attempts in _STATUSES:
                backend.asked.clear()
                backend.answers.clear()
                for _ in range(2):
                    backend.answer(status, b"why not", **headers)
                job = request.job(f"{url}/x?token=hush", retry=Retry(2, delay=0.01))
                run = await ran(scheduler, job)
                assert run.outcome is Outcome.FAILED
                assert len(backend.asked) == run.attempt == attempts, status
                assert run.error is not None
                assert run.error.type.endswith("HttpStatusError")
                assert str(status) in run.error.message
                assert "hush" not in run.error.message


@pytest.mark.seed("S5-07")
async def test_statuses_that_are_expected_are_no_failure() -> None:
    backend = Backend()
    backend.answer(404, b"gone")
    backend.answer(200)
    with serving(backend) as url:
        request = HttpRequest([url])
        async with Scheduler() as scheduler:
            scheduler.register(request)
            job = request.job(f"{url}/x", method="DELETE", expect=[404])
            run = await ran(scheduler, job)
            assert run.result == {"status": 404, "headers": {}, "text": "gone"}
            run = await ran(scheduler, request.job(f"{url}/x", expect=[201]))
            assert run.outcome is Outcome.FAILED


@pytest.mark.seed("S5-07")
@pytest.mark.virtual(timeout=100_000)
async def test_retry_after_is_waited_for_and_counts_as_an_attempt() -> None:
    import httpx2

    backend = Backend()
    backend.answer(503, retry_after="90")
    backend.answer(
        429,
        date="Sun, 06 Nov 1994 08:49:37 GMT",
        retry_after="Sun, 06 Nov 1994 08:51:37 GMT",
    )
    backend.answer(503, retry_after="999999999")
    options = HttpOptions(transport=httpx2.ASGITransport(backend), longest_after=600)
    request = HttpRequest(["https://b.example"], options=options)
    async with Scheduler() as scheduler:
        scheduler.register(request)
        job = request.job("https://b.example/x", retry=Retry(4, delay=1, cap=2))
        run = await ran_slowly(scheduler, job)
        rows = await scheduler.history(job.id, runs_only=True)
    assert run.outcome is Outcome.SUCCEEDED
    ends = [entry.at for entry in rows if entry.kind is RowKind.FAILED][::-1]
    starts = [entry.run.started_at for entry in rows if entry.run][::-1][1:]
    waits = [(b - a).total_seconds() for a, b in zip(ends, starts, strict=True) if b]
    assert [round(wait) for wait in waits] == [90, 120, 600]


async def ran_slowly(scheduler: Scheduler, job: Job) -> Run:
    return await scheduler.wait(await scheduler.schedule(job), timeout=10_000)


@pytest.mark.seed("S5-07")
async def test_what_is_kept_of_an_answer_is_bounded() -> None:
    backend = Backend()
    backend.answer(200, b"[" + b"1," * 100_000 + b"1]", content_type="application/json")
    backend.answer(200, b'{"a":[1]}', content_type="application/json")
    with serving(backend) as url:
        request = HttpRequest([url], options=HttpOptions(most_body=1_000))
        async with Scheduler() as scheduler:
            scheduler.register(request)
            run = await ran(scheduler, request.job(f"{url}/x"))
            assert run.result["cut"] is True
            assert len(run.result["text"]) == 1_000
            run = await ran(scheduler, request.job(f"{url}/x"))
            assert run.result["json"] == {"a": [1]}


@pytest.mark.seed("S5-07")
async def test_an_answer_that_does_not_come_ends_the_attempt() -> None:
    backend = Backend(hold=threading.Event())
    assert backend.hold is not None
    with serving(backend) as url:
        request = HttpRequest([url])
        async with Scheduler() as scheduler:
            scheduler.register(request)
            run = await ran(scheduler, request.job(f"{url}/x", total=0.2))
            backend.hold.set()
        assert run.outcome is Outcome.FAILED
        assert run.error is not None
        assert run.error.type.endswith("HttpFailedError")
        assert "within 0.2 s" in run.error.message


@pytest.mark.seed("S5-07")
async def test_nobody_there_fails_the_attempt_and_it_is_tried_again() -> None:
    with serving(Backend()) as url:
        pass  # and it is gone
    request = HttpRequest([url])
    async with Scheduler() as scheduler:
        scheduler.register(request)
        job = request.job(f"{url}/x", retry=Retry(2, delay=0.01))
        run = await ran(scheduler, job)
    assert (run.outcome, run.attempt) == (Outcome.FAILED, 2)


# --- S5-08: under /jobs, and nowhere else -------------------------------------------


@pytest.mark.seed("S5-08")
@pytest.mark.parametrize(
    "url",
    [
        "https://b.example/v1/jobsx",
        "https://b.example/v1",
        "https://b.example/v1/jobs/../admin",
        "https://b.example/v1/jobs/%2e%2e/admin",
        "https://b.example/v1/jobs/.%2E/admin",
        "https://b.example/v1/jobs/..;/admin",
        "https://b.example/v1/jobs/..%2fadmin",
        "https://b.example/v1/jobs/%252e%252e/admin",
        "https://b.example/v1/jobs//admin",
        "https://b.example/v1/jobs\\..\\admin",
        "https://b.example/v1/jobs/a b",
        "https://b.example/v1/jobs/x#y",
        "https://b.example/v1/jobs/x\r\nHost: evil",
        "http://b.example/v1/jobs/x",
        "https://b.example:444/v1/jobs/x",
        "https://b.example:/v1/jobs/x",
        "https://user@b.example/v1/jobs/x",
        "https://b.example@evil.example/v1/jobs/x",
        "https://evil.example/v1/jobs/x",
        "https://b.example.evil.example/v1/jobs/x",
        "https://b.example./v1/jobs/x",
        "https://B.example\u200b/v1/jobs/x",
        "https://127.1/v1/jobs/x",
        "https://0x7f000001/v1/jobs/x",
        "https://[::ffff:127.0.0.1]/v1/jobs/x",
        "file:///etc/passwd",
        "//evil.example/x",
        "",
        None,
    ],
)
def test_a_url_that_is_not_allowed_is_refused_before_anything_is_written(
    url: Any,
) -> None:
    request = HttpRequest(["https://b.example/v1/jobs"])
    with pytest.raises(InvalidInputError) as caught:
        request.job(url)
    assert caught.value.field == "url"


@pytest.mark.seed("S5-08")
async def test_who_goes_round_the_door_is_refused_by_the_peer_for_good() -> None:
    request = HttpRequest(["https://b.example/v1/jobs"])
    async with Scheduler() as scheduler:
        scheduler.register(request)
        for url in ("https://evil.example/", "https://b.example/v1/jobs/../admin"):
            job = Job(request, kwargs={"url": url}, retry=Retry(3, delay=0.01))
            run = await ran(scheduler, job)
            assert (run.outcome, run.attempt) == (Outcome.FAILED, 1)


@pytest.mark.seed("S5-08")
@pytest.mark.parametrize(
    "url",
    [
        "https://b.example/v1/jobs",
        "HTTPS://B.EXAMPLE:443/v1/jobs/x?y=1&z=../..",
        "https://b.example/v1/jobs/%C3%A4",
        "https://b.example/v1/jobs/x/",
    ],
)
def test_what_is_the_same_after_normalisation_is_allowed(url: str) -> None:
    assert HttpRequest(["https://b.example/v1/jobs/"]).job(url).kwargs["url"] == url


@pytest.mark.seed("S5-08")
async def test_a_redirect_is_followed_only_where_that_is_said_and_not_out() -> None:
    inside, outside = Backend(), Backend()
    with serving(outside) as elsewhere, serving(inside) as url:
        for target in ("/jobs/b", "/admin", f"{elsewhere}/jobs/x"):
            inside.answer(307, location=target)
            if target == "/jobs/b":
                inside.answer(200, b"there")
        request = HttpRequest([Target(f"{url}/jobs", redirects=1)])
        async with Scheduler() as scheduler:
            scheduler.register(request)
            run = await ran(scheduler, request.job(f"{url}/jobs/a", json=1))
            assert run.result["text"] == "there"
            assert [one.path for one in inside.asked] == ["/jobs/a", "/jobs/b"]
            assert inside.asked[1].json() == 1
            for _ in range(2):
                run = await ran(scheduler, request.job(f"{url}/jobs/a"))
                assert run.outcome is Outcome.FAILED
                assert run.error is not None
                assert "location" in run.error.message
    assert outside.asked == []
    assert len(inside.asked) == 4


@pytest.mark.seed("S5-08")
@pytest.mark.parametrize(
    "header", ["Host", "Webhook-Id", "Idempotency-Key", "Aiosched-Fence", "X: y", "é"]
)
def test_headers_of_the_sender_cannot_be_set_by_a_job(header: str) -> None:
    request = HttpRequest(["https://b.example"])
    with pytest.raises(InvalidInputError, match="headers"):
        request.job("https://b.example/x", headers={header: "hush"})
    with pytest.raises(InvalidInputError) as caught:
        request.job("https://b.example/x", headers={"X-A": "hush\r\nHost: evil"})
    assert "hush" not in str(caught.value)


@pytest.mark.seed("S5-08")
async def test_secrets_are_named_and_shown_nowhere(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    backend = Backend()
    backend.answer(400, b"your token s3cr3t-t0ken is wrong")
    backend.answer(200, b"welcome s3cr3t-t0ken")
    with serving(backend) as url:
        target = Target(url, sign="jobs", headers={"Authorization": "Bearer ${api}"})
        secrets: dict[str, Any] = {"jobs": Secret(KEY), "api": "s3cr3t-t0ken"}
        request = HttpRequest([target], secrets=secrets)
        async with Scheduler() as scheduler:
            scheduler.register(request)
            job = request.job(
                f"{url}/x", headers={"authorization": "mine"}, retry=Retry(2)
            )
            run = await ran(scheduler, job)
            stored = repr(await scheduler.history())
            second = await ran(scheduler, request.job(f"{url}/x"))
            stored += repr(await scheduler.history())
    assert run.error is not None
    assert backend.asked[0].headers["authorization"] == "Bearer s3cr3t-t0ken"
    texts = (repr(target), repr(request.__dict__), repr(job), run.error.message, stored)
    for text in (*texts, repr(second.result), caplog.text):
        assert "s3cr3t" not in text
        assert KEY not in text
    with pytest.raises(InvalidInputError, match="'api'"):
        HttpRequest([target], secrets={"jobs": KEY})
    with pytest.raises(InvalidInputError) as caught:
        HttpRequest([Target(url, sign="jobs")], secrets={"jobs": "whsec_short"})
    assert "short" not in str(caught.value)


@pytest.mark.seed("S5-08")
async def test_tls_is_verified(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.sign("server", "IP:127.0.0.1")
    backend = Backend()
    with serving(backend, certificate=pair.certificate, key=pair.key) as url:
        trusting = HttpOptions(verify=str(authority.own.certificate))
        async with Scheduler() as scheduler:
            for name, options in (("plain", None), ("trusting", trusting)):
                request = HttpRequest([url], options=options)
                scheduler.register(request, name=name)
                await scheduler.schedule(Job(request, kwargs={"url": url}, id=name))
            bad = await scheduler.wait("plain", timeout=20)
            good = await scheduler.wait("trusting", timeout=20)
    assert bad.outcome is Outcome.FAILED
    assert good.outcome is Outcome.SUCCEEDED
    assert len(backend.asked) == 1


class Door:
    """A receiver in a FastAPI application, and what its handlers saw."""

    def __init__(self, secret: Any = KEY, **options: Any) -> None:
        self.calls: list[JobCall] = []
        self.fails = 0
        self.receiver = JobReceiver(secret, **options)
        self.app = fastapi.FastAPI()
        self.app.mount("/v1/jobs", self.receiver)

        @self.receiver.handler("breaking-news")
        async def news(call: JobCall) -> dict[str, Any]:
            self.calls.append(call)
            if self.fails:
                self.fails -= 1
                raise LookupError
            return {"told": call.json()}

        @self.receiver.handler("sync/one")
        def one(call: JobCall) -> str:
            self.calls.append(call)
            return threading.current_thread().name


@pytest.mark.seed("S5-08")
async def test_a_router_of_fastapi_verifies_and_calls_what_is_registered() -> None:
    door = Door(Secret(OTHER_KEY, KEY))
    with serving(door.app) as url:
        base = f"{url}/v1/jobs"
        request = HttpRequest(
            [Target(base, sign="jobs")], secrets={"jobs": KEY}, base_url=base
        )
        async with Scheduler() as scheduler:
            scheduler.register(request)
            door.fails = 1
            job = request.job("breaking-news", json=7, retry=Retry(2, delay=0.01))
            run = await ran(scheduler, job)
            assert run.result["json"] == {"told": 7}
            assert [call.attempt for call in door.calls] == [1, 2]
            assert {call.id for call in door.calls} == {run.firing.id}
            assert door.calls[1].fence == run.fence
            run = await ran(scheduler, request.job("/sync/one"))
            assert run.result["json"] != threading.main_thread().name
            run = await ran(scheduler, request.job("nothing"))
            assert run.outcome is Outcome.FAILED


class Replayed:
    """Sends what was captured, as it was or changed."""

    def __init__(self, url: str) -> None:
        import httpx2

        self.client = httpx2.AsyncClient(trust_env=False)
        self.url = url

    async def send(
        self, headers: dict[str, str], body: bytes, path: str = "breaking-news"
    ) -> Any:
        url = f"{self.url}/v1/jobs/{path}"
        return await self.client.post(url, content=body, headers=headers)


def signed(body: bytes, *, key: str = KEY, at: int, name: str = "m1") -> dict[str, str]:
    from aiosched.integrations.http.signing import signature

    sign = signature(Secret(key).keys()[0], name, at, body)
    return {"webhook-id": name, "webhook-timestamp": str(at), "webhook-signature": sign}


@pytest.mark.seed("S5-08")
async def test_what_is_not_to_be_believed_is_answered_401() -> None:
    from aiosched.clock import SystemClock

    door = Door()
    now = SystemClock().wall() // 1_000_000
    good = signed(b"1", at=now)
    with serving(door.app) as url:
        sent = Replayed(url)
        async with sent.client:
            for headers, body in (
                ({}, b"1"),
                (good, b"2"),
                (good | {"webhook-id": "m2"}, b"1"),
                (good | {"webhook-timestamp": str(now + 1)}, b"1"),
                (good | {"webhook-timestamp": "now"}, b"1"),
                (good | {"webhook-signature": "v1,"}, b"1"),
                (good | {"webhook-signature": "v1a,x " * 30 + "v1"}, b"1"),
                (signed(b"1", at=now, key=OTHER_KEY), b"1"),
                (signed(b"1", at=now - 400), b"1"),
                (signed(b"1", at=now + 400), b"1"),
                (signed(b"1", at=now, name="m.1"), b"1"),
            ):
                answer = await sent.send(headers, body)
                assert answer.status_code == 401, headers
            assert door.calls == []
            assert (await sent.send(good, b"1")).json() == {"told": 1}
            # Several signatures, of which one fits, while keys are replaced.
            both = signed(b"3", at=now, name="m3")
            wrong = signed(b"3", at=now, name="m3", key=OTHER_KEY)
            joined = f"{wrong['webhook-signature']} {both['webhook-signature']}"
            answer = await sent.send(both | {"webhook-signature": joined}, b"3")
            assert answer.status_code == 200
            get = await sent.client.get(f"{url}/v1/jobs/breaking-news")
            assert get.status_code == 405


@pytest.mark.seed("S5-08")
async def test_a_message_that_comes_again_is_answered_and_not_done_again() -> None:
    from aiosched.clock import SystemClock

    door = Door(most_body=1_000)
    now = SystemClock().wall() // 1_000_000
    good = signed(b"1", at=now)
    with serving(door.app) as url:
        sent = Replayed(url)
        async with sent.client:
            first = await sent.send(good, b"1")
            again = await sent.send(good, b"1")
            # Signed anew, as a later attempt is.
            later = await sent.send(signed(b"1", at=now + 1), b"1")
            assert first.json() == again.json() == later.json() == {"told": 1}
            assert "idempotent-replayed" not in first.headers
            assert again.headers["idempotent-replayed"] == "true"
            assert len(door.calls) == 1
            elsewhere = await sent.send(good, b"1", "sync/one")
            assert elsewhere.status_code == 422
            long = await sent.send(good, b"1" * 2_000)
            assert long.status_code == 413
            # What failed is done again.
            door.fails = 1
            other = signed(b"2", at=now, name="m2")
            assert (await sent.send(other, b"2")).status_code == 500
            assert (await sent.send(other, b"2")).status_code == 200


@pytest.mark.seed("S5-08")
async def test_a_message_that_is_being_handled_is_not_handled_twice() -> None:
    from aiosched.clock import SystemClock

    receiver = JobReceiver(KEY)
    gate, calls = threading.Event(), 0

    @receiver.handler("slow")
    def slow(call: JobCall) -> None:
        nonlocal calls
        calls += 1
        gate.wait(20)

    app = fastapi.FastAPI()
    app.mount("/v1/jobs", receiver)
    good = signed(b"", at=SystemClock().wall() // 1_000_000)
    with serving(app) as url:
        sent = Replayed(url)
        async with sent.client:
            first = asyncio.ensure_future(sent.send(good, b"", "slow"))
            await wait_until(lambda: calls == 1, "the handler has begun")
            busy = await sent.send(good, b"", "slow")
            assert (busy.status_code, busy.headers["retry-after"]) == (409, "5")
            gate.set()
            assert (await first).status_code == 200
            assert (await sent.send(good, b"", "slow")).status_code == 200
    assert calls == 1


@pytest.mark.seed("S5-08")
async def test_replies_are_shared_on_a_server(redis_url: str) -> None:
    from redis.asyncio import Redis

    from aiosched.integrations.http import RedisReplies
    from aiosched.integrations.http.replies import Reply

    async with Redis.from_url(redis_url) as client:
        one, other = RedisReplies(client), RedisReplies(client)
        assert (await one.begin("m", "a")).state == "new"
        assert (await other.begin("m", "a")).state == "busy"
        assert (await other.begin("m", "b")).state == "other"
        await one.end("m", "a", None)
        assert (await other.begin("m", "a")).state == "new"
        await other.end("m", "a", Reply(200, b'"\xc3\xa4"'))
        again = await one.begin("m", "a")
        assert (again.state, again.reply) == ("done", Reply(200, b'"\xc3\xa4"'))


# --- S5-09, S5-10, S5-16 ------------------------------------------------------------


@pytest.mark.seed("S5-09", "S5-10")
async def test_the_example_asks_where_the_environment_says() -> None:
    backend = Backend()
    with serving(backend) as url:
        env = {**os.environ, "API_BASE_URL": url, "NEWS_INTERVAL": "0.2"}
        words = [sys.executable, str(ROOT / "examples" / "http_job.py")]
        process = await asyncio.create_subprocess_exec(*words, env=env, cwd=ROOT)
        try:
            await wait_until(lambda: len(backend.asked) >= 3, "requests", timeout=30)
        finally:
            process.terminate()
            await process.wait()
    assert {(one.method, one.path) for one in backend.asked} == {
        ("POST", "/v1/jobs/breaking-news")
    }
    ids = [one.headers["webhook-id"] for one in backend.asked]
    assert len(set(ids)) == len(ids)
    assert all(one.startswith("cc1dface-9213-4eed-8cb2-0edba6b2159c/") for one in ids)


@pytest.mark.seed("S5-10")
async def test_a_path_stands_behind_the_base_url() -> None:
    backend = Backend()
    with serving(backend) as url:
        request = HttpRequest([f"{url}/v1"], base_url=f"{url}/v1/")
        async with Scheduler() as scheduler:
            scheduler.register(request)
            for path in ("jobs/a", "/jobs/b", "?c=1"):
                await ran(scheduler, request.job(path))
    found = [(one.path, one.query) for one in backend.asked]
    assert found == [("/v1/jobs/a", ""), ("/v1/jobs/b", ""), ("/v1", "c=1")]
    with pytest.raises(InvalidInputError) as caught:
        HttpRequest([f"{url}/v1"]).job("jobs/a")
    assert caught.value.field == "url"


@pytest.mark.seed("S5-16")
@pytest.mark.virtual(timeout=10_000)
async def test_a_periodic_request_is_off_where_its_interval_is_negative() -> None:
    import httpx2

    backend = Backend()
    options = HttpOptions(transport=httpx2.ASGITransport(backend))
    request = HttpRequest(
        ["https://b.example/v1/jobs"],
        base_url="https://b.example/v1/jobs",
        options=options,
    )
    async with Scheduler() as scheduler:
        scheduler.register(request)
        name, kwargs = "HttpRequest", {"url": "breaking-news"}
        await schedule_periodic(scheduler, "news", 10, name, kwargs=kwargs)
        await asyncio.sleep(35)
        assert len(backend.asked) == 3
        await schedule_periodic(scheduler, "news", -1, name, kwargs=kwargs)
        await asyncio.sleep(35)
        assert len(backend.asked) == 3
