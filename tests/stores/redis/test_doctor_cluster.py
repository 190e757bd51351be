"""The doctor, and peers that mend, on a Redis Cluster: shards on several masters."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis.cluster import RedisCluster

from aiosched import RedisJobStore
from tests.clusters import Cluster
from tests.stores.redis import test_doctor as one_server
from tests.stores.redis.garbage import Client
from tests.stores.redis.test_doctor import PLANTS, Plant, examine, fix, kinds
from tests.stores.redis.test_doctor_peers import agendas, far_jobs, load, one_pass


class _Everywhere:
    """A client of all masters that lists the keys of all."""

    def __init__(self, cluster: Cluster) -> None:
        self._client: Client = RedisCluster("127.0.0.1", cluster.masters[0].port)

    def keys(self, pattern: str) -> list[bytes]:
        nodes = RedisCluster.PRIMARIES
        found: list[bytes] = self._client.keys(pattern, target_nodes=nodes)
        return found

    def __getattr__(self, name: str) -> object:
        return getattr(self._client, name)


@pytest.fixture
def redis_url(cluster_url: str) -> str:
    """The cluster's, for what is shared with the tests on one server."""
    return cluster_url


@pytest.fixture
def raw(cluster: Cluster, cluster_url: str) -> Iterator[Client]:
    """Somebody who writes what is none of his business."""
    client: Client = _Everywhere(cluster)
    yield client
    client.close()


filled = one_server.filled


async def test_what_is_whole_is_found_whole(filled: str, raw: Client) -> None:
    assert await examine(filled) == []
    before = one_server.taken(raw)
    assert await fix(filled, allowed=True) == ([], [])
    assert one_server.taken(raw) == before


# What needs other shards, keys of several slots, or those of the whole namespace.
CHOSEN = [
    one_server.agenda_gone,
    one_server.wrong_shard,
    one_server.keyword_shards_gone,
    one_server.queue_gone,
    one_server.spec_gone,
    one_server.spec_unused,
    one_server.blob_gone,
    one_server.blob_unused,
    one_server.record_astray,
    one_server.counts_wrong,
    one_server.term_garbled,
    one_server.members_garbled,
    one_server.ledger_garbled,
    one_server.foreign_keys,
]


@pytest.mark.parametrize("plant", CHOSEN, ids=lambda plant: plant.__name__)
async def test_what_is_planted_is_found_and_mended(
    filled: str, raw: Client, plant: Plant
) -> None:
    plant(raw)
    found = await examine(filled)
    assert kinds(found) == PLANTS[plant]
    _, left = await fix(filled, allowed=True)
    assert kinds(left) <= {"quarantined"}, left
    await one_server.runs(filled, raw)


async def test_peers_put_the_index_right(redis_url: str, raw: Client) -> None:
    await load(redis_url, "put", far_jobs(300, words=5))
    session = await RedisJobStore(redis_url).open("put", {})
    try:
        assert (await one_pass(session))[0] == []
        before = {key: raw.zrange(key, 0, -1, withscores=True) for key in agendas(raw)}
        sets = {key: raw.smembers(key) for key in raw.keys("{put*:k*:word*")}
        chosen = sorted(before)
        for key in chosen[:20]:
            raw.delete(key)
        for key in chosen[20:30]:
            raw.zadd(key, dict.fromkeys(raw.zrange(key, 0, -1), float("inf")))
        for key in chosen[30:33]:
            raw.delete(key)
            raw.rpush(key, "x")
        raw.srem("{put}:queues", "default")
        raw.delete("{put}:kw:word-1")
        raw.delete(sorted(sets)[3])
        assert (await one_pass(session))[0] != []
        assert before == {
            key: raw.zrange(key, 0, -1, withscores=True) for key in agendas(raw)
        }
        assert sets == {key: raw.smembers(key) for key in raw.keys("{put*:k*:word*")}
        assert raw.smembers("{put}:queues") == {b"default"}
        assert (await one_pass(session))[0] == []
    finally:
        await session.close()
