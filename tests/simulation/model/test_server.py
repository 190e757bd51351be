"""What the model adds for simulations: its clock, its hooks, its misfortunes."""

from __future__ import annotations

from typing import Any

import pytest

from aiosched.testing.redis_model import Connection, Server, Sorted, Stream
from tests.simulation.model.comparing import packed


class _Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def server(clock: _Clock) -> Server:
    return Server(clock)


def _say(one: Connection, *lines: str) -> bytes:
    return one.feed(b"".join([packed(line.encode().split()) for line in lines]))


def test_bytes_may_come_in_any_pieces(server: Server) -> None:
    data = b"".join(
        [
            packed([b"SET", b"k", b"a\r\n$1*"]),
            b"GET k\r\n",
            packed([b"MGET", b"k", b"x"]),
        ]
    )
    whole = server.connect().feed(data)
    assert whole == b"+OK\r\n$6\r\na\r\n$1*\r\n*2\r\n$6\r\na\r\n$1*\r\n$-1\r\n"
    for cut in range(1, len(data)):
        one = server.connect()
        assert one.feed(data[:cut]) + one.feed(data[cut:]) == whole
    one = server.connect()
    assert b"".join([one.feed(data[n : n + 1]) for n in range(len(data))]) == whole


def test_bytes_that_are_no_command_end_the_connection(server: Server) -> None:
    one = server.connect()
    ended: list[bool] = []
    one.ended = lambda: ended.append(True)
    assert one.feed(b"*1\r\n:1\r\n").startswith(b"-ERR Protocol error: expected '$'")
    assert one.closed
    assert ended == [True]
    assert one.id not in server.connections


def test_time_is_what_the_clock_says(server: Server, clock: _Clock) -> None:
    one = server.connect()
    clock.now += 5
    assert _say(one, "TIME") == b"*2\r\n$10\r\n1700000000\r\n$1\r\n5\r\n"


def test_a_deadline_passes_with_the_clock(server: Server, clock: _Clock) -> None:
    one, two = server.connect(), server.connect()
    _say(one, "SET k v PX 10", "WATCH k")
    clock.now += 10_000
    assert _say(two, "GET k") == b"$1\r\nv\r\n"
    clock.now += 1_000
    # Nobody has looked since, and yet the watched key has ended.
    assert _say(one, "MULTI", "EXEC") == b"+OK\r\n*-1\r\n"
    assert _say(two, "EXISTS k") == b":0\r\n"


def test_a_key_that_had_ended_before_the_watch_aborts_nothing(
    server: Server, clock: _Clock
) -> None:
    one, two = server.connect(), server.connect()
    _say(two, "SET k v PX 10")
    clock.now += 11_000
    _say(one, "WATCH k")
    assert _say(two, "GET k") == b"$-1\r\n"
    assert _say(one, "MULTI", "EXEC") == b"+OK\r\n*0\r\n"
    _say(two, "SET k v PX 10")
    clock.now += 11_000
    _say(one, "WATCH k")
    _say(two, "SET k w")
    assert _say(one, "MULTI", "EXEC") == b"+OK\r\n*-1\r\n"


def test_commits_tell_what_was_before_and_after(server: Server) -> None:
    told: list[tuple[int, dict[bytes, Any], list[tuple[bytes, bytes]]]] = []
    one = server.connect()
    _say(one, "SET k a", "ZADD z 1 m", "XADD x 5-1 f v")
    server.commits.append(lambda who, keys, sent: told.append((who.id, keys, sent)))
    _say(one, "GET k", "DEL missing", "ZADD z 1 m", "WATCH k")
    assert told == []
    _say(one, "MULTI", "SET k b", "SET k c", "ZADD z 2 m", "XADD x 5-2 f w")
    assert told == []
    _say(one, "PUBLISH n hello", "EXEC")
    [(who, keys, sent)] = told
    assert who == one.id
    assert sent == [(b"n", b"hello")]
    assert keys[b"k"] == (b"a", b"c")
    before, after = keys[b"z"]
    assert isinstance(before, Sorted)
    assert isinstance(after, Sorted)
    assert (before.scores, after.scores) == ({b"m": 1.0}, {b"m": 2.0})
    before, after = keys[b"x"]
    assert isinstance(before, Stream)
    assert isinstance(after, Stream)
    assert [entry[0] for entry in before] == [(5, 1)]
    assert [entry[0] for entry in after] == [(5, 1), (5, 2)]
    told.clear()
    _say(one, "DEL k", "WATCH z", "MULTI", "EXEC")
    assert [keys for _, keys, _ in told] == [{b"k": (b"c", None)}, {}]
    told.clear()
    _say(one, "WATCH z", "ZREM z m", "MULTI", "SET k v", "EXEC")
    assert [set(keys) for _, keys, _ in told] == [{b"z"}]


def test_a_snapshot_is_a_moment(server: Server) -> None:
    one = server.connect()
    fill = ["SET k a PX 1000", "HSET h f v", "SADD s m", "RPUSH l v", "ZADD z 1 m"]
    _say(one, *fill, "XADD x 1-1 f v")
    look = ["GET k", "PTTL k", "HGETALL h", "SMEMBERS s", "LRANGE l 0 -1"]
    look += ["ZRANGE z 0 -1 WITHSCORES", "XRANGE x - +", "DBSIZE"]
    then = _say(one, *look)
    kept = server.snapshot()
    spoil = ["APPEND k b", "PERSIST k", "HSET h f w", "SADD s n", "RPUSH l w"]
    spoil += ["ZADD z 2 m", "XADD x 1-2 f w", "XTRIM x MAXLEN 1", "SET new v"]
    for _ in range(2):
        _say(one, *spoil)
        assert _say(one, *look) != then
        server.restore(kept)
        assert _say(one, *look) == then
    server.clear()
    assert _say(one, "DBSIZE") == b":0\r\n"


@pytest.mark.parametrize("loss", ["clear", "restore"])
def test_lost_data_abort_who_watches_it(server: Server, loss: str) -> None:
    one = server.connect()
    empty = server.snapshot()
    _say(one, "SET k v", "WATCH k")
    if loss == "clear":
        server.clear()
    else:
        server.restore(empty)
    assert _say(one, "MULTI", "EXEC") == b"+OK\r\n*-1\r\n"


def test_a_loading_server_knows_only_what_needs_no_data(server: Server) -> None:
    one = server.connect()
    server.refusing = "LOADING Redis is loading the dataset in memory"
    line = b"-LOADING Redis is loading the dataset in memory\r\n"
    assert _say(one, "GET k") == line
    assert _say(one, "PING") == line
    assert _say(one, "HELLO 2").startswith(b"*14\r\n")
    assert _say(one, "MULTI", "GET k") == b"+OK\r\n" + line
    assert _say(one, "EXEC").startswith(b"-EXECABORT")
    server.refusing = "NOPERM no"
    assert _say(one, "HELLO 2") == b"-NOPERM no\r\n"
    server.refusing = None
    assert _say(one, "GET k") == b"$-1\r\n"


def test_messages_go_to_the_callback_or_before_the_next_reply(server: Server) -> None:
    one, two, three = server.connect(), server.connect(), server.connect()
    heard: list[bytes] = []
    two.pushed = heard.append
    for ear in (two, three):
        _say(ear, "SUBSCRIBE n")
    message = b"*3\r\n$7\r\nmessage\r\n$1\r\nn\r\n$5\r\nhello\r\n"
    assert _say(one, "PUBLISH n hello") == b":2\r\n"
    assert heard == [message]
    assert _say(three, "PING") == message + b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"
    two.close()
    three.close()
    assert _say(one, "PUBLISH n hello") == b":0\r\n"
    assert not server.channels.plain


def test_a_password_is_asked_for(server: Server) -> None:
    _say(server.connect(), "CONFIG SET requirepass secret")
    one = server.connect()
    assert _say(one, "GET k") == b"-NOAUTH Authentication required.\r\n"
    assert _say(one, "AUTH wrong").startswith(b"-WRONGPASS")
    assert _say(one, "AUTH secret", "GET k") == b"+OK\r\n$-1\r\n"
    assert _say(server.connect(), "HELLO 3 AUTH default secret").startswith(b"%7\r\n")


@pytest.mark.parametrize(
    ("add", "scan"),
    [
        ("SADD k m{}", "SSCAN k {}"),
        ("ZADD k 1 m{}", "ZSCAN k {}"),
        ("SET m{} v", "SCAN {}"),
    ],
)
def test_a_scan_misses_nothing_that_stays(server: Server, add: str, scan: str) -> None:
    """Also while other elements come and go between two pages."""
    one = server.connect()
    _say(one, *[add.format(n) for n in range(300)])
    cursor, pages = "0", 0
    seen: set[bytes] = set()
    remove = {"SADD": "SREM k m{}", "ZADD": "ZREM k m{}", "SET": "DEL m{}"}[
        add.partition(" ")[0]
    ]
    while True:
        lines = _say(one, scan.format(cursor) + " COUNT 7").split(b"\r\n")
        seen |= {line for line in lines if line.startswith(b"m")}
        cursor = lines[2].decode()
        pages += 1
        if cursor == "0":
            break
        _say(one, remove.format(200 + pages), add.format(1000 + pages))
    assert pages > 20
    assert {b"m%d" % n for n in range(200)} <= seen


def test_what_is_not_on_the_list_is_unknown(server: Server) -> None:
    one = server.connect()
    for name in ("EVAL", "XREADGROUP", "BLPOP", "OBJECT", "DEBUG"):
        assert _say(one, f"{name} x").startswith(b"-ERR unknown command")
