"""Every parser, fed with what hypothesis makes of valid inputs, and with monsters.

``nox -s fuzz`` does the same guided by coverage, and measures time.  Here work is
counted: calls, which do not depend on the machine.
"""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.seeds import NOW
from tests.fuzz.targets import TARGETS, Target

pytestmark = pytest.mark.timeout(60)

MOST_CALLS = 60_000
"""Calls that an input of a few hundred bytes may take; about 20 ms of them."""
_COSTLY = {"rrule": 5, "trigger": 3, "phrase": 3, "words": 3, "job": 3, "cron": 3}
"""Rules that never match are refused after many thousand candidates."""

_BYTES = (b"\x00", b"\xff", b"\xed\xa0\x80", "ü٣".encode(), b"%", b"-", b"9" * 30)

MONSTERS = {
    "nothing": b"",
    "nul": b"\x00" * 50,
    "no text": b"\xff\xfe" * 50,
    "half a character": b"\xed\xa0\x80",
    "digits": b"9" * 5_000,
    "minus": b"-" + b"9" * 400,
    "lists": b"[" * 100_000,
    "closed lists": b"[" * 5_000 + b"]" * 5_000,
    "mappings": b'{"a":' * 50_000,
    "closed mappings": b'{"kind":' * 900 + b"1" + b"}" * 900,
    "long": b"a" * 200_000,
    "long words": b"pass" * 50_000,
    "blanks": b" " * 50_000,
    "lines": b"\n" * 50_000,
    "separators": b"|" * 50_000,
    "commas": b"," * 50_000,
    "last": b"last " * 10_000,
    "no number": b"NaN",
    "boundless": b"1e999",
    "a long number": b'{"n":' + b"9" * 4_301 + b"}",
}

FOUND = {
    "a number of outcomes that no list can have": (
        "record",
        b"1|%d|1||||||||||||%s\n{}\n" % (NOW, b"9" * 30),
    ),
    "a lease that no float can hold": (
        "record",
        b"1|%d|||||||1,p,%s,0,,5\n{}\n" % (NOW, b"9" * 400),
    ),
    "a trigger that is no text": ("spec", b'{"e":"w","t":5}'),
    "meta that is no JSON": ("spec", b'{"e":"w","m":"{"}'),
    "meta that is no text": ("spec", b'{"e":"w","m":{"a":1}}'),
    "a duration that is a mapping": ("spec", b'{"e":"w","p":{"at":1}}'),
    "a duration without end": ("spec", b'{"e":"w","g":1e999}'),
    "a number of runs that is a list": ("spec", b'{"e":"w","r":[]}'),
    "a back-off without end": ("spec", b'{"e":"w","y":[3,1e999,2.0,3,0,[],true]}'),
    "a spec nested too deep": ("spec", b'{"e":' + b"[" * 100_000),
    "a rule within a rule": ("rrule", b"RRULE:RRULE:FREQ=WEEKLY"),
    "an act nested too deep": ("act", b"[" * 100_000),
    "a peer nested too deep": ("member", b"[" * 100_000),
    "a peer that is a number": ("member", b"5"),
    "an executor that is a number": ("executor", b"0"),
    "a kind of parameter that there is not": (
        "executor",
        b'[%d,[["x","positional_or_nothing",true]],"q"]' % NOW,
    ),
    "a change at an instant that no float holds": (
        "changed",
        b"id|q|%s|5" % (b"9" * 400),
    ),
    "a schema of more digits than are read": ("terms", b"schema\n" + b"9" * 5_000),
    "no shards": ("terms", b"schema\n1\nshards\n0"),
    "a billion shards": ("terms", b"schema\n1\nshards\n1000000000"),
}
"""What fuzzing has found once: refused now, and formerly an error of its own."""


@st.composite
def mutated(draw: st.DrawFn, target: Target) -> bytes:
    """Draw a seed with a few changes."""
    data = draw(st.sampled_from(target.seeds))
    words = target.words + _BYTES
    for _ in range(draw(st.integers(1, 4))):
        low = draw(st.integers(0, len(data)))
        high = draw(st.integers(low, min(len(data), low + 12)))
        piece = draw(
            st.sampled_from(words)
            | st.binary(max_size=4)
            | st.integers(-99, 10**6).map(lambda n: str(n).encode())
            | st.just(data[low:high] * 3)
            | st.just(b"")
        )
        data = data[:low] + piece + data[high:]
    return data


def calls(target: Target, data: bytes) -> int:
    """Return how many calls of Python functions a check takes."""
    number = 0

    def count(_frame: object, event: str, _arg: object) -> None:
        nonlocal number
        if event == "call":
            number += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        target.check(data)
    finally:
        sys.setprofile(before)
    return number


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_accepted(name: str) -> None:
    accepted = [TARGETS[name].check(data) for data in TARGETS[name].seeds]
    assert sum(accepted) * 3 >= len(accepted), accepted


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_but_the_documented_refusal(name: str) -> None:
    target = TARGETS[name]
    most = MOST_CALLS * _COSTLY.get(name, 1)

    @settings(
        max_examples=100,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(mutated(target))
    def check(data: bytes) -> None:
        number = calls(target, data)
        assert number <= most, (number, data)

    check()


@pytest.mark.parametrize("monster", MONSTERS)
@pytest.mark.parametrize("name", TARGETS)
def test_monsters_are_refused_or_kept(name: str, monster: str) -> None:
    data = MONSTERS[monster]
    TARGETS[name].check(data)
    seed = TARGETS[name].seeds[0]
    half = len(seed) // 2
    TARGETS[name].check(seed[:half] + data + seed[half:])


@pytest.mark.parametrize("case", FOUND)
def test_what_was_found_is_refused(case: str) -> None:
    name, data = FOUND[case]
    assert TARGETS[name].check(data) is False


def test_a_check_can_fail() -> None:
    """The harness would see a hole: another error, or a value that is lost."""

    def broken(data: bytes) -> Any:
        return data.decode("ascii")

    with pytest.raises(UnicodeDecodeError):
        calls(Target(broken, (b"",)), b"\xff")
    assert calls(Target(lambda _: all(map(abs, [])), ()), b"") >= 1
