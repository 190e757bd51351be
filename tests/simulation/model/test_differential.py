"""The model answers as every real server of this machine does.

Short in CI; ``--long`` (or ``AIOSCHED_LONG=1``) tries every scenario and says a
hundred thousand random commands to each server.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests import servers
from tests.simulation.model.comparing import Both, DifferenceError
from tests.simulation.model.planted import MISTAKES, Plant
from tests.simulation.model.trying import at_random, enumerated, looked_at, scenarios
from tests.simulation.model.versions import known_of

_SHORT_STEP = 3
_SHORT_COMMANDS = 4_000
_LONG_COMMANDS = 100_000
_PROBE_COMMANDS = 30_000
_SEED = 20_261_121


@pytest.fixture
def real(server: servers.Server | servers.ExternalServer) -> servers.Server:
    """A server of our own: everything in it is lost."""
    if not isinstance(server, servers.Server):
        pytest.skip("an external server is never emptied")
    server.heal()
    return server


@pytest.fixture(scope="module")
def first() -> Iterator[servers.Server]:
    """One server, the first there is."""
    with servers.Server(servers.binaries()[0]) as one:
        yield one


@pytest.fixture
def long(request: pytest.FixtureRequest) -> bool:
    """Whether time does not matter."""
    return bool(request.config.getoption("--long") or os.environ.get("AIOSCHED_LONG"))


def test_every_write_to_every_kind_of_value_under_a_watch(
    real: servers.Server, *, long: bool
) -> None:
    known = known_of(real.name)
    total = sum(1 for _ in scenarios())
    if long:
        assert enumerated(real.address, known) == total
    else:
        done = enumerated(real.address, known, step=_SHORT_STEP)
        assert done == -(-total // _SHORT_STEP) > 1_000


def test_every_read_of_every_kind_of_value(real: servers.Server) -> None:
    assert looked_at(real.address, known_of(real.name)) > 1_500


def test_random_commands_over_four_connections(
    real: servers.Server, *, long: bool
) -> None:
    count = _LONG_COMMANDS if long else _SHORT_COMMANDS
    done = at_random(real.address, known_of(real.name), _SEED, count)
    assert done >= count


@pytest.mark.parametrize("plant", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_the_model_is_found(
    first: servers.Server, monkeypatch: pytest.MonkeyPatch, plant: Plant
) -> None:
    """The check of the check."""
    plant(monkeypatch)
    known = known_of(first.name)

    def try_all() -> None:
        looked_at(first.address, known)
        at_random(first.address, known, _SEED, _PROBE_COMMANDS)
        enumerated(first.address, known)

    with pytest.raises(DifferenceError):
        try_all()


@pytest.mark.parametrize("inner", [b"MULTI", b"WATCH"])
def test_words_out_of_place(real: servers.Server, inner: bytes) -> None:
    """What differs between versions: does this spoil the transaction or not?"""
    words = [inner] if inner == b"MULTI" else [inner, b"k"]
    with Both(real.address, known_of(real.name)) as both:
        one = both.connect()
        line = both.lines[one]
        both.say(one, [b"MULTI"], [b"SET", b"k", b"v"])
        line.wire.socket.sendall(line.packed(words) + line.packed([b"EXEC"]))
        refused, done = line.wire.read(), line.wire.read()
        line.replies(line.packed(words))
        (mine,) = line.replies(line.packed([b"EXEC"]))
        assert mine == ["OK"]
        assert isinstance(refused, str)
        if real.name.startswith("redis-7.0"):
            assert done == mine
        else:
            assert done in (mine, _ABORTED)


_ABORTED = "EXECABORT Transaction discarded because of previous errors."


@pytest.mark.parametrize(
    ("option", "value"),
    [("maxmemory", "1"), ("min-replicas-to-write", "1"), ("replicaof", "127.0.0.1 1")],
)
def test_a_refusing_server_refuses_the_same_commands(
    binary: servers.Binary, option: str, value: str
) -> None:
    """Out of memory, without replicas, and as a replica."""
    words = [
        [b"SET", b"k", b"v"],
        [b"GET", b"k"],
        [b"DEL", b"k"],
        [b"ZADD", b"z", b"1", b"m"],
        [b"ZREM", b"z", b"m"],
        [b"PUBLISH", b"n", b"v"],
        [b"TIME"],
        [b"WATCH", b"k"],
        [b"MULTI"],
        [b"SET", b"k", b"v"],
        [b"GET", b"k"],
        [b"TIME"],
        [b"EXEC"],
        [b"MULTI"],
        [b"EXEC"],
        [b"GET", b"k"],
        [b"HSET", b"h", b"f", b"v"],
        [b"XADD", b"x", b"*", b"f", b"v"],
        [b"XTRIM", b"x", b"MAXLEN", b"1"],
        [b"FLUSHALL"],
    ]
    with (
        servers.Server(binary) as real,
        Both(real.address, known_of(real.name)) as both,
    ):
        one = both.connect()
        if option == "replicaof":
            real.command("REPLICAOF", *value.split())
        else:
            real.command("CONFIG", "SET", option, value)
        both.server.refusing = both.refused_by_server(one)
        for sentence in words:
            both.say(one, sentence)
        assert both.server.refusing.split()[0] in {"OOM", "NOREPLICAS", "READONLY"}


@pytest.mark.parametrize(
    "trim",
    [
        [b"MAXLEN", b"~", b"250"],
        [b"MAXLEN", b"~", b"199"],
        [b"MAXLEN", b"=", b"123"],
        [b"MINID", b"~", b"9000000000130"],
        [b"MINID", b"~", b"9000000000201"],
        [b"MAXLEN", b"~", b"0", b"LIMIT", b"150"],
        [b"MAXLEN", b"~", b"0", b"LIMIT", b"0"],
    ],
)
def test_about_so_many_entries_means_whole_nodes(
    real: servers.Server, trim: list[bytes]
) -> None:
    with Both(real.address, known_of(real.name)) as both:
        one = both.connect()
        adds = [[b"XADD", b"x", b"90000000%05d" % n, b"f", b"v"] for n in range(450)]
        both.say(one, *adds)
        both.say(one, [b"XDEL", b"x", b"9000000000017", b"9000000000101"])
        both.say(one, [b"XTRIM", b"x", *trim], [b"XLEN", b"x"])
        both.say(one, [b"XADD", b"x", *trim, b"9000000001000", b"f", b"v"])
        both.say(one, [b"XRANGE", b"x", b"-", b"+"])


def test_a_killed_connection(real: servers.Server) -> None:
    with Both(real.address, known_of(real.name)) as both:
        one, two = both.connect(), both.connect()
        line = both.lines[two]
        line.wire.socket.sendall(line.packed([b"CLIENT", b"ID"]))
        theirs, mine = line.wire.read(), line.model.id
        for victim, wire in ((mine, False), (theirs, True)):
            words = line.packed([b"CLIENT", b"KILL", b"ID", b"%d" % victim])
            if wire:
                both.lines[one].wire.socket.sendall(words)
                assert both.lines[one].wire.read() == 1
            else:
                assert both.lines[one].replies(words) == [1]
        assert line.model.closed
        assert line.model.feed(line.packed([b"PING"])) == b""
        with pytest.raises(DifferenceError, match="hung up"):
            line.wire.read()
