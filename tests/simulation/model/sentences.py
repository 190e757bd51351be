"""The commands that are tried: templates whose last words stand for a choice."""

from __future__ import annotations

import random
from collections.abc import Sequence

__all__ = ["LOOKS", "READS", "REST", "SETUPS", "WRITES", "spoken"]

Words = Sequence[bytes]

# K a key, V a value, F a field or member, I a number, S a score, T a time that is
# far away, B an end of scores, D an id of a stream that can be added, P an end of
# ids, C a count, G a pattern, N a channel.
CHOICES: dict[str, list[bytes]] = {
    "K": [b"k", b"a", b"b", b"s", b"z", b"x", b"h"],
    "V": [b"", b"1", b"v", b"-7", b"\xff\x00\r\n", b"9223372036854775807", b"word"],
    "F": [b"f", b"g", b"m", b"1", b"", b"\xe9"],
    "I": [b"0", b"1", b"-1", b"3", b"10", b"007", b"x", b"9223372036854775807"],
    "S": [
        b"0",
        b"1",
        b"1.5",
        b"-2",
        b"inf",
        b"-inf",
        b"1e3",
        b"nan",
        b"",
        b"1700000001",
    ],
    "T": [b"100000", b"500000", b"1000000"],
    "B": [b"-inf", b"+inf", b"(1", b"1", b"(-2", b"1.5", b"(inf", b"x", b"("],
    "D": [
        b"9000000000000-1",
        b"9000000000001-0",
        b"9000000000001-*",
        b"9000000000002",
        b"9000000000005-5",
        b"0-0",
        b"1-1",
        b"-",
        b"x",
        b"18446744073709551615-18446744073709551615",
    ],
    "P": [
        b"-",
        b"+",
        b"9000000000001",
        b"(9000000000001-0",
        b"9000000000002-0",
        b"0",
        b"(0-0",
        b"(18446744073709551615-18446744073709551615",
        b"(-",
        b"q",
    ],
    "C": [b"1", b"2", b"0", b"-1", b"5", b"y"],
    "G": [b"*", b"?", b"[a-f]", b"[^k]", b"k*", b"\\k"],
    "N": [b"n1", b"n2", b"n3"],
}

_WRITES = """
SET K V|SET K V NX|SET K V XX|SET K V GET|SET K V EX T|SET K V PX T|SET K V KEEPTTL
SET K V NX GET|SET K V XX GET|SET K V NX XX|SET K V EX I|SET K V EX T PX T
SET K V EX T KEEPTTL|SET K V EX|SET K V EX T EX T|SETNX K V|GETSET K V|GETDEL K
MSET K V|MSET K V K V|MSET K V K|MSETNX K V K V|MSETNX K V|APPEND K V
INCR K|DECR K|INCRBY K I|DECRBY K I|DEL K|DEL K K|UNLINK K|DEL missing
PEXPIRE K 500000|EXPIRE K T|PEXPIRE K -5|EXPIRE K I|PEXPIRE K T NX|PEXPIRE K T XX
PEXPIRE K T GT|PEXPIRE K T LT|PEXPIRE K T GT LT|PEXPIRE K T NX GT|PEXPIRE K T foo
PERSIST K|RENAME K K|HSET K F V|HSET K F V F V|HSET K F V F|HSETNX K F V|HDEL K F
HDEL K F F|HINCRBY K F I|HMSET K F V|SADD K F|SADD K F F|SREM K F|SREM K F F
LPUSH K V|RPUSH K V V|LPOP K|RPOP K|LPOP K C|RPOP K C
ZADD K S F|ZADD K S F S F|ZADD K NX S F|ZADD K XX S F|ZADD K GT S F|ZADD K LT S F
ZADD K CH S F S F|ZADD K XX CH S F|ZADD K GT CH S F|ZADD K INCR S F|ZADD K NX INCR S F
ZADD K XX INCR S F|ZADD K GT INCR S F|ZADD K NX XX S F|ZADD K GT LT S F|ZADD K NX GT S F
ZADD K INCR S F S F|ZADD K S|ZADD K XX GT CH S F|ZINCRBY K S F|ZREM K F|ZREM K F F
ZREMRANGEBYSCORE K B B|XADD K D F V|XADD K NOMKSTREAM D F V|XADD K D F
XADD K MAXLEN C D F V|XADD K MAXLEN = C D F V|XADD K MAXLEN ~ C D F V
XADD K MINID P D F V|XADD K MINID ~ 9000000000001 D F V|XADD K MAXLEN ~ 5 LIMIT C D F V
XADD K MAXLEN 2 LIMIT 2 D F V|XADD K MAXLEN 1 MINID 1 D F V|XADD K LIMIT 1 D F V
XADD K D F V F V|XTRIM K MAXLEN C|XTRIM K MAXLEN ~ C|XTRIM K MINID P|XTRIM K C
XTRIM K MINID ~ 9000000000002|XTRIM K MAXLEN = C|XDEL K 9000000000001-0
XDEL K D|XDEL K 9000000000001-0 9000000000005-5|FLUSHDB|FLUSHALL|FLUSHALL ASYNC
FLUSHALL foo
"""

_READS = """
GET K|MGET K K|MGET K missing|STRLEN K|EXISTS K|EXISTS K K|TYPE K|PTTL K|TTL K
HGET K F|HMGET K F F|HGETALL K|HKEYS K|HVALS K|HLEN K|HEXISTS K F|HSCAN K 0
SMEMBERS K|SISMEMBER K F|SMISMEMBER K F F|SCARD K|SSCAN K 0|SSCAN K 0 COUNT C
LRANGE K 0 -1|LRANGE K I I|LLEN K|ZSCORE K F|ZMSCORE K F F|ZCARD K|ZCOUNT K B B
ZRANK K F|ZREVRANK K F|ZRANGE K 0 -1|ZRANGE K I I|ZRANGE K 0 -1 WITHSCORES
ZRANGE K 0 -1 REV WITHSCORES|ZRANGE K B B BYSCORE|ZRANGE K B B BYSCORE LIMIT I I
ZRANGE K B B BYSCORE REV WITHSCORES LIMIT 0 C|ZRANGE K 0 -1 LIMIT 0 C
ZRANGEBYSCORE K B B|ZRANGEBYSCORE K B B WITHSCORES LIMIT I C|ZRANGEBYSCORE K B B LIMIT C
ZREVRANGEBYSCORE K B B WITHSCORES|ZREVRANGE K 0 -1 WITHSCORES|ZRANGE K 0 -1 foo
ZUNION 1 K|ZUNION 2 K K WITHSCORES|ZUNION 2 K K|ZUNION 2 K WITHSCORES|ZUNION C K K
ZUNION 2 K K WEIGHTS S S WITHSCORES|ZUNION 2 K K AGGREGATE MAX WITHSCORES|ZUNION 1 K F
ZUNION 2 K K AGGREGATE MIN WITHSCORES WEIGHTS 2 S|ZUNION 3 K K K WITHSCORES|ZUNION 1
ZUNION 1 K AGGREGATE SUM AGGREGATE MAX|ZUNION 1 K AGGREGATE|ZUNION 1 K WEIGHTS
ZSCAN K 0|ZSCAN K 0 COUNT 1000|ZSCAN K 0 MATCH G|ZSCAN K q|ZSCAN K 0 COUNT C
XLEN K|XRANGE K - +|XRANGE K P P|XRANGE K P P COUNT C|XREVRANGE K + -
XREVRANGE K P P COUNT C|XRANGE K - + COUNT|DBSIZE|KEYS G|SCAN 0 COUNT 1000
SCAN 0 COUNT 1000 MATCH G|SCAN 0 COUNT 1000 TYPE zset|SCAN 0 COUNT C|TIME
"""

_REST = """
MULTI|EXEC|DISCARD|WATCH K|WATCH K K|UNWATCH|MULTI|EXEC|EXEC foo|MULTI foo
PUBLISH N V|SPUBLISH N V|PUBLISH N|PING|PING V|PING V V|ECHO V|SELECT 0|SELECT 1
SELECT 99|SELECT x|CLIENT ID|CLIENT GETNAME|CLIENT SETNAME F|CLIENT FOO|CLIENT
CLIENT KILL ID 0|CLIENT KILL ID x|CLIENT KILL ID 999999|CLIENT SETNAME
AUTH V|AUTH default V|AUTH V V V|HELLO 4|HELLO x|HELLO 3 FOO|HELLO 2|HELLO 3
HELLO 3 SETNAME F|NOSUCH|NOSUCH V V V|GET|GET K K|ROLE|INFO|FLUSHDB foo
HELLO 3 AUTH default V|CONFIG GET maxmemory-policy|CONFIG|CONFIG FOO|RESET
SUBSCRIBE N|UNSUBSCRIBE N|UNSUBSCRIBE|PSUBSCRIBE G|PUNSUBSCRIBE|SUBSCRIBE N N
"""


def _split(text: str) -> list[str]:
    return [part for line in text.split("\n") for part in line.split("|") if part]


WRITES = _split(_WRITES)
READS = _split(_READS)
REST = _split(_REST)

SETUPS: dict[str, list[Words]] = {
    "missing": [],
    "string": [[b"SET", b"k", b"v"]],
    "number": [[b"SET", b"k", b"10", b"PX", b"700000"]],
    "hash": [[b"HSET", b"k", b"f", b"1", b"g", b"2"]],
    "set": [[b"SADD", b"k", b"f", b"g"]],
    "list": [[b"RPUSH", b"k", b"f", b"g", b"h"]],
    "zset": [[b"ZADD", b"k", b"1", b"f", b"2", b"g"]],
    "stream": [
        [b"XADD", b"k", b"9000000000001-0", b"f", b"1"],
        [b"XADD", b"k", b"9000000000002-0", b"f", b"2"],
        [b"XADD", b"k", b"9000000000002-1", b"g", b"3"],
    ],
}
"""What makes each kind of value under the key ``k``."""

LOOKS: list[Words] = [
    [b"PTTL", b"k"],
    [b"TYPE", b"k"],
    [b"GET", b"k"],
    [b"HGETALL", b"k"],
    [b"SMEMBERS", b"k"],
    [b"LRANGE", b"k", b"0", b"-1"],
    [b"ZRANGE", b"k", b"0", b"-1", b"WITHSCORES"],
    [b"XRANGE", b"k", b"-", b"+"],
]
"""What reads back whatever stands under the key ``k``."""


def spoken(template: str, chance: random.Random) -> list[bytes]:
    """Return a template's words with a choice for each that stands for one."""
    words = []
    for word in template.split(" "):
        choices = CHOICES.get(word)
        words.append(word.encode() if choices is None else chance.choice(choices))
    return words
