"""Records and specs as bytes: what is written is what is read."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aiosched.enums import Cause, Coalesce, JobState, OnLost, Overlap, Reason
from aiosched.planning.compare import digest
from aiosched.records import (
    Apart,
    Counts,
    Definition,
    LiveRun,
    Pending,
    Record,
    RetryRule,
    Spec,
    State,
)
from aiosched.stores.redis.codec import INLINE, aparts, decode, encode, split
from aiosched.stores.redis.specs import (
    SpecCache,
    UnreadableError,
    decode_spec,
    encode_spec,
    spec_name,
)
from aiosched.triggers.date import DateTrigger
from aiosched.triggers.interval import IntervalTrigger

NOW = 1_790_000_000_000_000
texts = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ["|", "a,b;c", "~", "%7C", "\n", "%", "ü|\n", "0", "x" * 200]
)
instants = st.integers(-6 * 10**16, 25 * 10**16) | st.integers(NOW - 5, NOW + 5)
maybe = st.none() | instants
small = st.integers(0, 10**6)
blobs = st.sampled_from([b"", b"[]", b"|,;\n~", b"\n\n", b"\xff\x00", b"x" * INLINE])


def firings(payloads: st.SearchStrategy[Any] = blobs) -> st.SearchStrategy[Pending]:
    def build(slot: int, key: str | None, **rest: Any) -> Pending:
        return Pending(str(slot) if key is None else key, slot=slot, **rest)

    return st.builds(
        build,
        slot=instants,
        key=st.none() | texts,
        cause=st.sampled_from(Cause),
        at=instants,
        attempt=small,
        lost=small,
        missed=small,
        expires=maybe,
        payload=payloads,
        open=st.booleans(),
        trace=texts,
    )


runs = st.builds(
    LiveRun,
    fence=instants,
    owner=texts,
    until=instants,
    started=instants,
    firing=firings(),
    cancel=st.sampled_from(Reason),
)
states = st.builds(
    State,
    seq=st.integers(NOW, NOW + 10**10),
    created=st.integers(NOW - 10**10, NOW),
    version=st.integers(1, 10**6),
    status=st.sampled_from([s for s in JobState if s is not JobState.UNKNOWN]),
    next=maybe,
    since=maybe,
    latest=maybe,
    former=small,
    runs=st.lists(runs, max_size=3).map(tuple),
    waiting=st.lists(firings(), max_size=4).map(tuple),
    counts=st.builds(Counts, *[small] * 12),
    ends=maybe,
    pause_until=maybe,
    pause_note=texts,
    recent=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\n")), max_size=3
    ).map(tuple),
    trace=texts,
)


def record(state: State, **definition: Any) -> Record:
    return Record(Definition("id", Spec("work"), **definition), state)


def there_and_back(given_: Record) -> Record:
    apart: dict[str, bytes | None] = {}
    line, _ = SpecCache().line(given_.definition.spec)
    data = encode(given_, line, apart)
    assert not apart
    return decode(split(data), given_.definition.id, given_.definition.spec)


@given(states, maybe, blobs)
@example(State(NOW, NOW), None, b"")
@example(State(NOW, NOW, next=NOW, latest=NOW), NOW, b"\n")
@example(State(NOW, NOW, next=NOW), None, b"")
@example(State(NOW, NOW), NOW - 1, b"")
@settings(max_examples=200, deadline=None)
def test_a_record_comes_back(state: State, anchor: int | None, blob: bytes) -> None:
    given_ = record(state, anchor=anchor, arguments=blob)
    assert there_and_back(given_) == given_


def test_a_fresh_record_is_small() -> None:
    apart: dict[str, bytes | None] = {}
    fresh = record(State(NOW, NOW, next=NOW), anchor=NOW, arguments=b"[[7],{}]")
    line, _ = SpecCache().line(Spec("a.long.executor.name", note="x" * 40))
    assert len(encode(fresh, line, apart)) == 43


def test_what_is_large_is_kept_apart() -> None:
    large, larger = b"a" * (INLINE + 1), b"b" * 5_000
    waiting = (
        Pending("1", Cause.MANUAL, NOW, NOW, payload=larger),
        Pending("2", Cause.MANUAL, NOW, NOW, payload=b"small"),
        Pending("3", Cause.MANUAL, NOW, NOW, payload=large),
    )
    given_ = record(State(NOW, NOW, waiting=waiting), arguments=large)
    apart: dict[str, bytes | None] = {}
    data = encode(given_, "=x", apart)
    assert apart == {digest(large): large, digest(larger): larger}
    assert len(data) < 300
    assert sorted(aparts(given_)) == sorted([*apart, digest(large)])
    back = decode(split(data), "id", given_.definition.spec)
    arguments = back.definition.arguments
    assert arguments == Apart(f"b:{digest(large)}:id", len(large), digest(large))
    assert back.state.waiting[1].payload == b"small"
    assert sorted(aparts(back)) == sorted(aparts(given_))
    # Written again it names the same, and says that there is nothing to write.
    again: dict[str, bytes | None] = {}
    assert encode(back, "=x", again) == data
    assert again == dict.fromkeys(apart)


def test_a_line_break_in_a_packed_row_is_white_space() -> None:
    given_ = record(State(NOW, NOW, recent=('a|b|{"x":\n1}',)))
    assert there_and_back(given_).state.recent == ('a|b|{"x": 1}',)


GARBAGE = [
    b"",
    b"garbage",
    b"\xff\xfe\n\n",
    b"1",
    b"1|12",
    b"1|12\n=x",
    b"1|x\n=x\n",
    b"1|12|x\n=x\n",
    b"1|12|1|x\n=x\n",
    b"1|12|||x\n=x\n",
    b"1|12||||||||||||5\n=x\nonly one\n",
    b"1|12|||||q\n=x\n",
    b"1|12||||||1,2\n=x\n",
    b"1|12||||||1,o,1,1,zz,0\n=x\n",
    b"1|12|||||||0,,,,,,,,9\n=x\nshort",
    b"1|12|||||||0,,,,,,,,-4\n=x\nshort",
    b"1|12||||||||1,2,3,4,5,6,7,8,9,10,11,12,13\n=x\n",
    b"1|12||||||||||||||||||||extra\n=x\n",
    b"1|12||||||||||||||||@\n=x\n",
    b"\xff1|12\n=x\n",
]


@pytest.mark.parametrize("data", GARBAGE)
def test_garbage_is_unreadable(data: bytes) -> None:
    with pytest.raises(UnreadableError):
        decode(split(data), "id", Spec("work"))


@given(st.binary(max_size=80).map(lambda tail: b"1|" + tail))
@settings(max_examples=300, deadline=None)
def test_nothing_but_unreadable_is_raised(data: bytes) -> None:
    with suppress(UnreadableError):
        decode(split(data), "id", Spec("work"))


def test_a_later_schema_is_named() -> None:
    with pytest.raises(UnreadableError, match=r"later version.*schema 2"):
        split(b"2|whatever\n=x\n")


# --- specs ---------------------------------------------------------------------

SPECS = [
    Spec("work"),
    Spec("work", keyword="", queue="ü|\n{}", note="\n", meta='{"a": [1]}', declared=0),
    Spec(
        "work",
        trigger=IntervalTrigger(seconds=7).rule(),
        keyword="paid",
        max_runs=3,
        misfire_grace=0,
        coalesce=Coalesce.ALL,
        overlap=Overlap.CANCEL_PREVIOUS,
        max_running=4,
        jitter=5,
        timeout=6,
        retry=RetryRule(3, 10, 1.5, 100, 0.25, ("ValueError", "OSError"), False),
        on_lost=OnLost.RECORD,
        max_lost=0,
        keep=9,
        keep_last=0,
        tags=("a", "b"),
    ),
    Spec("work", trigger=DateTrigger(at="2030-01-01T00:00:00Z").rule()),
]


@pytest.mark.parametrize("spec", SPECS, ids=range(len(SPECS)))
def test_a_spec_comes_back(spec: Spec) -> None:
    body = encode_spec(spec)
    assert b"\n" not in body
    assert decode_spec(body) == spec
    line, same = SpecCache().line(spec)
    assert same == body
    fresh = SpecCache()
    if line.startswith("="):
        assert len(body) > 40
        assert fresh.find(line.encode()) is None
        assert fresh.learn(line.encode(), body) == spec
    else:
        assert len(body) <= 40
    assert fresh.find(line.encode()) == spec


def test_equal_specs_have_one_name() -> None:
    one = Spec("work", note="n" * 50, tags=("a",))
    two = Spec("work", tags=("a",), note="n" * 50)
    cache = SpecCache()
    assert cache.line(one) == cache.line(two)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"1",
        b"{}",
        b'{"e":7}',
        b'{"e":"x","future":1}',
        b'{"e":"x","o":"?"}',
        b'{"e":"x","y":[1]}',
        b'{"e":"x","t":{"kind":"nobody has it"}}',
        b"\xff",
    ],
)
def test_a_garbage_spec_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableError):
        decode_spec(body)
    with pytest.raises(UnreadableError):
        SpecCache().learn(f"={spec_name(body)}".encode(), body)


def test_a_spec_under_a_wrong_name_is_refused() -> None:
    with pytest.raises(UnreadableError, match="does not match"):
        SpecCache().learn(b"=AAAAAAAAAAAA", b'{"e":"x"}')
    with pytest.raises(UnreadableError, match="missing"):
        SpecCache().learn(b"=AAAAAAAAAAAA", None)


def test_the_cache_is_bounded_and_still_right() -> None:
    cache = SpecCache()
    specs = [Spec("work", note=f"{number:050d}") for number in range(5_000)]
    lines = [cache.line(spec)[0] for spec in specs]
    assert len(set(lines)) == len(specs)
    assert [cache.line(spec)[0] for spec in specs] == lines
    assert len(cache._lines) <= 2_048
    assert len(cache._by_line) <= 2_048
