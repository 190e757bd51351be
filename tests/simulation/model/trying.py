"""The two ways of trying: every scenario in turn, and at random."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import islice

from aiosched.testing.redis_model.values import Stream
from tests.simulation.model.comparing import Both, Known
from tests.simulation.model.sentences import (
    CHOICES,
    LOOKS,
    READS,
    REST,
    SETUPS,
    WRITES,
    spoken,
)

__all__ = ["at_random", "enumerated", "looked_at", "scenarios", "variants"]

Words = Sequence[bytes]
Address = tuple[str, int]

_PLAIN = {"K": b"k", "V": b"v", "F": b"f", "T": b"100000", "N": b"n1", "G": b"*"}
_FEW: dict[str, list[bytes]] = {
    "I": [b"1"],
    "S": [b"0", b"1", b"3"],
    "B": [b"-inf", b"1", b"(1"],
    "D": [b"9000000000005-5", b"1-1", b"9000000000001-0"],
    "P": [b"-", b"9000000000002", b"+"],
    "C": [b"0", b"1", b"2", b"5"],
}
_ENDS = {b"EXEC", b"DISCARD", b"RESET", b"QUIT"}
_MAX_STREAM = 9_000_000_000_000


def variants(template: str) -> Iterator[list[bytes]]:
    """Yield a template with plain words, one with each of the few that matter."""
    words = template.split(" ")
    length = max([len(_FEW[word]) for word in words if word in _FEW], default=1)
    for number in range(length):
        found = []
        for word in words:
            few = _FEW.get(word)
            if few is not None:
                found.append(few[number % len(few)])
            else:
                found.append(_PLAIN.get(word, word.encode()))
        yield found


def scenarios() -> Iterator[tuple[str, list[bytes], bool]]:
    """Yield (kind of value, write, whether the watcher itself writes).

    Those where the write fits the kind come first, for they tell the most.
    """
    pairs = [(kind, template) for kind in SETUPS for template in WRITES]
    pairs.sort(key=lambda pair: not _fits(*pair))
    for kind, template in pairs:
        for words in variants(template):
            for own in (True, False):
                yield kind, words, own


def _fits(kind: str, template: str) -> bool:
    own = {"Z": "zset", "X": "stream", "H": "hash", "L": "list", "R": "list"}
    verb = template.partition(" ")[0]
    fitting = "set" if verb in {"SADD", "SREM"} else own.get(verb[0], "number")
    return kind == fitting


def enumerated(
    address: Address, known: Sequence[Known], *, first: int = 0, step: int = 1
) -> int:
    """Try each kind of value with each write under a WATCH; return how many.

    Args:
        address: The real server's.
        known: Differences that are none.
        first: Which scenario to begin with.
        step: Take each so-manieth only.

    Raises:
        DifferenceError: The model and the server differ.
    """
    count = 0
    with Both(address, known) as both:
        watcher, other = both.connect(), both.connect()
        for kind, words, own in islice(scenarios(), first, None, step):
            both.spoken.clear()
            both.say(other, [b"FLUSHALL"], *SETUPS[kind])
            ending = [[b"MULTI"], [b"ECHO", b"done"], [b"EXEC"]]
            if own:
                both.say(watcher, [b"WATCH", b"k"], words, *ending)
            else:
                both.say(watcher, [b"WATCH", b"k"])
                both.say(other, words)
                both.say(watcher, *ending)
            both.say(other, *LOOKS)
            count += 1
    return count


def looked_at(address: Address, known: Sequence[Known]) -> int:
    """Try each kind of value with each read, in both protocols; return how many.

    Raises:
        DifferenceError: The model and the server differ.
    """
    reads = [words for template in READS for words in variants(template)]
    with Both(address, known) as both:
        one = both.connect()
        for protocol in (b"2", b"3"):
            for setup in SETUPS.values():
                both.say(one, [b"HELLO", protocol], [b"FLUSHALL"], *setup)
                both.say(one, *reads)
        return both.commands


def at_random(
    address: Address, known: Sequence[Known], seed: int, commands: int
) -> int:
    """Say random things over three connections and a subscriber; return how many.

    Raises:
        DifferenceError: The model and the server differ; the text names the seed.
    """
    chance = random.Random(seed)
    done = 0
    while done < commands:
        round_of = chance.randrange(1 << 32)
        with Both(address, known) as both:
            _round(both, random.Random(round_of))
            done += both.commands
    return done


def _round(both: Both, chance: random.Random) -> None:
    talkers = [both.connect() for _ in range(3)]
    ear = both.connect()
    both.say(talkers[0], [b"FLUSHALL"])
    for number in (*talkers, ear):
        if chance.random() < 0.5:
            both.say(number, [b"HELLO", b"3"])
    both.say(ear, [b"SUBSCRIBE", b"n1", b"n2"])
    both.say(ear, [b"PSUBSCRIBE", chance.choice([b"n*", b"n[23]", b"?2"])])
    both.say(ear, [b"SSUBSCRIBE", b"n1"])
    for _ in range(chance.randrange(20, 120)):
        number = chance.choice(talkers)
        both.say(number, *_packet(both, number, chance))
    both.settled()


def _packet(both: Both, number: int, chance: random.Random) -> list[list[bytes]]:
    if chance.random() < 0.05:
        return [_added(both, number, chance)]
    packet: list[list[bytes]] = []
    inside = both.lines[number].model.queue is not None
    for _ in range(chance.choice((1, 1, 3, 6))):
        words = _sentence(both, number, chance)
        if inside and words[0] in {b"MULTI", b"WATCH"}:
            # Whether this spoils the transaction changes from version to
            # version; test_words_out_of_place has it.
            words = [b"PING"]
        inside = words == [b"MULTI"] or (inside and words[0] not in _ENDS)
        packet.append(words)
    return packet


def _sentence(both: Both, number: int, chance: random.Random) -> list[bytes]:
    model = both.lines[number].model
    kind = chance.random()
    pool = WRITES if kind < 0.55 else READS if kind < 0.8 else REST
    words = spoken(chance.choice(pool), chance)
    subscriptions = {b"SUBSCRIBE", b"PSUBSCRIBE"}
    if words[0] in subscriptions and model.protocol == 2 and chance.random() < 0.8:
        return [b"PING"]
    return words


def _added(both: Both, number: int, chance: random.Random) -> list[bytes]:
    """Add with an id of the server's choice where time has no part in it."""
    key = chance.choice(CHOICES["K"])
    there = both.lines[number].model.database.values.get(key)
    if isinstance(there, Stream) and there.last[0] > _MAX_STREAM:
        trim = chance.choice([[], [b"MAXLEN", b"3"], [b"MINID", b"9000000000001"]])
        return [b"XADD", key, *trim, b"*", b"f", b"v"]
    return [b"TYPE", key]
