"""A password in a store's URL is never seen again, whatever door one looks through."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import redis

from aiosched import Context, Job, RedisJobStore, Scheduler
from aiosched.errors import AioschedError, ConfigurationError
from aiosched.stores import open_store
from tests import servers
from tests.cli.commands import aiosched
from tests.conftest import Launch
from tests.fuzz.seeds import CANARY

pytestmark = pytest.mark.timeout(60)

# Nobody listens on port 1, and there is no such socket.
AWAY = [
    f"redis://:{CANARY}@127.0.0.1:1/0",
    f"redis://user:{CANARY}@127.0.0.1:1",
    f"redis://127.0.0.1:1/0?password={CANARY}&username=user",
    f"rediss://user:{CANARY}@127.0.0.1:1",
    f"rediss://127.0.0.1:1?ssl_password={CANARY}&ssl_keyfile=/no&ssl_certfile=/no",
    f"unix:///no/such/socket?password={CANARY}",
    f"redis+cluster://user:{CANARY}@127.0.0.1:1,127.0.0.1:2",
    f"rediss+cluster://user:{CANARY}@127.0.0.1:1",
    f"redis+sentinel://user:{CANARY}@127.0.0.1:1,127.0.0.1:2/master",
    f"redis+sentinel://127.0.0.1:1/master?sentinel_password={CANARY}",
]
WRONG = [
    f"redis://user:{CANARY}@",
    f"redis://user:{CANARY}@host:port",
    f"redis://user:{CANARY}@host:99999",
    f"redis://user:{CANARY}@host/db",
    f"redis://user:{CANARY}@host?nothing=1",
    f"redis://user:{CANARY}@host/0?db=1",
    f"redis://user:{CANARY}@[::1",
    f"redis://user:{CANARY}@host#part",
    f"redis://user:a#{CANARY}@host",
    f"redis://user:a/{CANARY}@host",
    f"redis://user:a?{CANARY}@host",
    f"redis://user:{CANARY}@host?password={CANARY}",
    f"redis:/user:{CANARY}@host",
    f"user:{CANARY}@host",
    f"memory://user:{CANARY}@host",
    f"http://user:{CANARY}@host",
    f"redis+sentinel://user:{CANARY}@host",
    f"redis+cluster://user:{CANARY}@host/5",
    f"redis+sentinel://h/m?sentinel_username=u&sentinel_password={CANARY}&x=1",
    f"unix://user:{CANARY}@host/path",
]


def told(error: BaseException) -> str:
    """Return all that an error, its causes and its fields say."""
    said = ["".join(traceback.format_exception(error)), repr(error)]
    part: BaseException | None = error
    while part is not None:
        said += [repr(part.args), repr({k: repr(v) for k, v in vars(part).items()})]
        part = part.__cause__ or part.__context__
    # The lines of the test's own source name the constant, and not its value.
    return "\n".join(said)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Everything that anybody logs, the driver and asyncio included."""
    caplog.set_level(logging.DEBUG)
    for name in ("aiosched", "redis", "asyncio"):
        caplog.set_level(logging.DEBUG, name)
    yield caplog
    said = [str(vars(record)) for record in caplog.records]
    assert CANARY not in caplog.text + "".join(said)


@pytest.mark.parametrize("url", WRONG)
def test_a_wrong_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_store(url)
    assert CANARY not in told(caught.value)
    with pytest.raises(ConfigurationError) as caught:
        Scheduler(url)
    assert CANARY not in told(caught.value)


@pytest.mark.parametrize("url", AWAY)
async def test_a_server_that_is_away_is_named_without_a_password(
    url: str, logged: pytest.LogCaptureFixture
) -> None:
    store = RedisJobStore(url, socket_connect_timeout=0.5, exchange_timeout=0.5)
    assert CANARY not in repr(store) + str(store) + repr(vars(store))
    with pytest.raises(AioschedError) as caught:
        async with asyncio.timeout(20):
            await store.open("secret", {})
    assert CANARY not in told(caught.value)
    scheduler = Scheduler(store, name="peer")
    assert CANARY not in repr(scheduler) + str(scheduler)


@pytest.mark.crash
async def test_a_peer_keeps_its_password_to_itself(
    launch: Launch, logged: pytest.LogCaptureFixture
) -> None:
    server = launch(options={"requirepass": CANARY}, password=CANARY)
    url = f"redis://default:{CANARY}@127.0.0.1:{server.port}"
    said: list[str] = []
    store = RedisJobStore(url, exchange_timeout=1.0)
    scheduler = Scheduler(store, lease=1.0, terms={"beat": 0.3, "member_timeout": 1.0})

    @scheduler.executor
    async def work(context: Context) -> str:
        return repr(context)

    @scheduler.executor
    async def fail(context: Context) -> None:
        raise ValueError(repr(vars(context)) if hasattr(context, "__dict__") else "no")

    def hear(event: object) -> None:
        said.append(repr(event))

    scheduler.on("*", hear)
    async with scheduler:
        job = await scheduler.schedule(Job("work", id="a"))
        failed = await scheduler.schedule(Job("fail", id="b"))
        said.append(repr(await scheduler.wait(job, timeout=20)))
        said.append(repr(await scheduler.wait(failed, timeout=20)))
        said += [repr(scheduler), repr(scheduler.health()), repr(vars(store))]
        said.append(repr(await scheduler.peers()))
        said.append(repr([row async for row in _rows(scheduler)]))
        with redis.Redis(port=server.port, password=CANARY) as client:
            for key in client.scan_iter():
                kind = client.type(key)
                value: Any = (
                    client.dump(key) if kind != b"stream" else client.xrange(key)
                )
                said.append(repr((key, value)))
            # The password is changed under it: what it tries now is refused.
            client.config_set("requirepass", "another")
            client.client_kill_filter(_type="normal", skipme=True)
        with pytest.raises(AioschedError) as caught:
            await _until_it_fails(scheduler)
        said += [told(caught.value), repr(scheduler.health())]
        server.kill()
        with suppress(AioschedError):
            await scheduler.schedule(Job("work"))
    assert len(said) > 10
    assert CANARY not in "\n".join(said)


async def _until_it_fails(scheduler: Scheduler) -> None:
    async with asyncio.timeout(30):
        while True:
            await scheduler.get_jobs()


async def _rows(scheduler: Scheduler) -> Any:
    for row in await scheduler.history():
        yield row


@pytest.mark.crash
async def test_a_wrong_password_is_not_repeated(
    launch: Launch, logged: pytest.LogCaptureFixture
) -> None:
    server = launch(options={"requirepass": "right"}, password="right")
    for user in ("", "default", "nobody"):
        store = RedisJobStore(f"redis://{user}:{CANARY}@127.0.0.1:{server.port}")
        with pytest.raises(ConfigurationError) as caught:
            await store.open("secret", {})
        assert CANARY not in told(caught.value)


ECHOES = [
    b"-ERR unknown command 'AUTH', with args beginning with: 'user' '%b' \r\n",
    b"-ERR unknown command `AUTH`, with args beginning with: `user`, `%b`, \r\n",
    b"-WRONGPASS no user with the password %b\r\n",
    b"-LOADING not yet, %b\r\n",
    b"-ERR invalid request: *2\\r\\n$4\\r\\nAUTH\\r\\n$9\\r\\n%b\\r\\n\r\n",
    b"HTTP/1.1 400 no such method as AUTH user %b\r\n\r\n",
    b"+%b\r\n",
    b"*2\r\n+AUTH\r\n+%b\r\n",
]
ECHOING = [
    f"redis://user:{CANARY}@127.0.0.1:port",
    f"redis://:{CANARY}@127.0.0.1:port",
    f"redis+cluster://user:{CANARY}@127.0.0.1:port",
    f"redis+sentinel://127.0.0.1:port/m?sentinel_password={CANARY}",
    f"redis+sentinel://127.0.0.1:port/m"
    f"?sentinel_username=user&sentinel_password={CANARY}",
]


@asynccontextmanager
async def answering(say: Callable[[bytes], bytes]) -> AsyncIterator[int]:
    """Serve on a port what is said to each command."""
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(say(data) * (data.count(b"\r\n*") + 1))
        except ConnectionError:
            pass
        finally:
            writer.close()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.ensure_future(serve(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for one in serving:
            one.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        await server.wait_closed()


@pytest.mark.parametrize("url", ECHOING)
@pytest.mark.parametrize("echo", ECHOES)
async def test_a_server_that_repeats_what_it_was_sent(
    url: str, echo: bytes, logged: pytest.LogCaptureFixture
) -> None:
    """What does not know AUTH, such as a proxy, names its arguments."""
    asked = 0

    def say(data: bytes) -> bytes:
        nonlocal asked
        asked += CANARY.encode() in data
        return echo % CANARY.encode()

    async with answering(say) as port:
        store = RedisJobStore(
            url.replace(":port", f":{port}"),
            socket_connect_timeout=1.0,
            exchange_timeout=1.0,
        )
        with pytest.raises(AioschedError) as caught:
            async with asyncio.timeout(20):
                await store.open("secret", {})
    assert asked
    assert CANARY not in told(caught.value)


async def test_a_server_that_repeats_what_a_job_was_given(
    logged: pytest.LogCaptureFixture,
) -> None:
    """Also behind the login: keys and arguments are nobody's business."""
    said = f"-ERR unknown command 'X', with args beginning with: '{CANARY}'\r\n"
    async with answering(lambda _: said.encode()) as port:
        store = RedisJobStore(f"redis://127.0.0.1:{port}", exchange_timeout=1.0)
        with pytest.raises(ConfigurationError, match="not know a command") as caught:
            await store.open("secret", {})
    assert CANARY not in told(caught.value)


@pytest.mark.crash
@pytest.mark.parametrize(
    "words",
    [
        ("jobs", "--store", AWAY[0]),
        ("results", "a", "--store", f"redis://user:{CANARY}@127.0.0.1:port"),
        ("doctor", "--store", f"redis://127.0.0.1:1?password={CANARY}"),
        ("why", "a", "2030-01-01T00:00Z", "--store", f"http://u:{CANARY}@h"),
    ],
    ids=["jobs", "results", "doctor", "why"],
)
def test_the_command_line_does_not_print_it(words: tuple[str, ...]) -> None:
    done = aiosched(*words)
    assert done.returncode in (2, 5), done
    assert done.stderr.startswith("aiosched: "), done.stderr
    assert "Traceback" not in done.stderr
    assert CANARY not in done.stdout + done.stderr


def test_servers_are_there() -> None:
    assert servers.binaries()
