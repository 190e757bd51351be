"""What is fuzzed: a function a parser, from bytes to a verdict.

A check answers whether the input was accepted; every refusal but the documented
one is an error that it lets through, and so is an accepted input that does not
come back as it was.  The same checks are driven by hypothesis in the ordinary
tests (``test_fuzz.py``) and by a coverage-guided fuzzer (``guided.py``).
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from aiosched import planning
from aiosched.abc import ExecutorInfo
from aiosched.cli.app import parser
from aiosched.errors import (
    ArgumentsError,
    ConfigurationError,
    InvalidInputError,
    StoreDataError,
    TriggerError,
)
from aiosched.instants import moment
from aiosched.jobs import Job, checks
from aiosched.jobs.conversions import job_of
from aiosched.records import Definition, Record, State
from aiosched.registry import Registry, check_payload, dump
from aiosched.results import dump_result
from aiosched.rows import fade_row, pack_row, row_key, unpack_act, unpack_row
from aiosched.stores import masked, open_store
from aiosched.stores.redis import codec, members, meta, signals, specs
from aiosched.stores.redis.specs import UnreadableError
from aiosched.stores.redis.urls import parse_url
from aiosched.triggers import (
    CronTrigger,
    ScheduleConfig,
    Trigger,
    every,
    from_unit,
    trigger_from_data,
)
from aiosched.triggers.recurring import RRuleTrigger
from tests.fuzz import seeds

__all__ = ["TARGETS", "Target"]

NOW = seeds.NOW
WHEN = datetime(2026, 11, 21, 12, tzinfo=UTC)
SPEC = seeds.SPEC


@dataclass(frozen=True)
class Target:
    """One parser.

    Attributes:
        check: Takes any bytes, and answers whether they were accepted.
        seeds: Inputs to begin with, of which most are accepted.
        words: What the inputs are made of.
    """

    check: Callable[[bytes], bool]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...] = ()


# --- what the store holds ----------------------------------------------------------


def record(data: bytes) -> bool:
    """Read a record; work with what was accepted as a peer would."""
    try:
        read = codec.decode(codec.split(data), "id", SPEC)
    except UnreadableError:
        return False
    written = _written(read)
    again = codec.decode(codec.split(written), "id", SPEC)
    # What is large is set apart, and is not here when it is read again.
    assert again == read or codec.aparts(read), (again, read)
    assert _written(again) == written
    _worked_with(read)
    return True


def _written(read: Record) -> bytes:
    line, _ = specs.SpecCache().line(SPEC)
    return codec.encode(read, line, {})


def _worked_with(read: Record) -> None:
    """Do to a record what peers and viewers do to any."""
    definition, state = read.definition, read.state
    at = planning.instant(definition, state)
    if at is not None:
        float(at)
    change = planning.attend(definition, state, NOW, 10, "peer", 15_000_000)
    if change is not None and change.record is not None:
        _written(change.record)
    bare = replace(definition, arguments=b"")
    repr(job_of(Record(bare, state), now=NOW).to_dict(snapshot=True))


def spec(data: bytes) -> bool:
    """Read a spec; build a job of what was accepted, and look after it."""
    try:
        read = specs.decode_spec(data)
    except UnreadableError:
        return False
    written = specs.encode_spec(read)
    again = specs.decode_spec(written)
    assert again == read, (again, read)
    assert specs.encode_spec(again) == written
    anchor = None if read.trigger is None else NOW
    _worked_with(Record(Definition("id", read, anchor), State(NOW, NOW, next=NOW)))
    return True


def row(data: bytes) -> bool:
    """Read a row of the ledger."""
    try:
        line = data.decode()
    except UnicodeDecodeError:
        return False
    row_key(line)
    fade_row(line, NOW)
    try:
        read = unpack_row(line)
    except ValueError:
        return False
    unpack_act(read.value)
    assert unpack_row(pack_row(read)) == read
    moment(read.at)
    return True


def act(data: bytes) -> bool:
    """Read who did what; anything else says that nothing was said."""
    return unpack_act(data).by != ""


def member(data: bytes) -> bool:
    """Read what a peer says of itself."""
    try:
        read = members.readable_member(b"m1", data)
    except ValueError:
        return False
    written = members._pack(read, read.beat).encode()
    assert members.readable_member(b"m1", written) == read
    moment(read.started)
    return True


def executor(data: bytes) -> bool:
    """Read what is advertised of an executor, and check arguments by it."""
    try:
        read = members.readable_executor(b"e", data)
    except ValueError:
        return False
    assert type(read) is ExecutorInfo
    with contextlib.suppress(ArgumentsError):
        dump(read, [1], {"x": 2})
    return True


def changed(data: bytes) -> bool:
    """Read a signal of changes."""
    try:
        read = signals.parse_changed(3, data)
    except ValueError:
        return False
    for _, _, at, seq in read.entries:
        float(at or 0)
        float(seq)
    return True


def done(data: bytes) -> bool:
    """Read a signal of completions."""
    try:
        return bool(signals.parse_done(3, data).ids)
    except ValueError:
        return False


def terms(data: bytes) -> bool:
    """Read what a namespace has agreed on: fields and values, line by line."""
    words = [word.decode(errors="replace") for word in data.split(b"\n")]
    stored = dict(zip(words[::2], words[1::2], strict=False))
    try:
        read = meta._terms("key", stored)
    except (ConfigurationError, StoreDataError):
        return False
    assert 1 <= read.shards <= 16_384
    float(read.lease + read.beat + read.member_timeout + read.steal_delay)
    return True


# --- what users write --------------------------------------------------------------


def _text(data: bytes) -> str:
    """Return any text, half characters included."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace")


def _sound(trigger: Trigger) -> None:
    """Ask a trigger what planning and people ask."""
    data = json.loads(json.dumps(trigger.to_data()))
    assert trigger_from_data(data) == trigger
    trigger.describe()
    pinned = trigger.anchored(WHEN) if trigger.needs_pin() else trigger
    pinned = pinned.for_job("id")
    slot = pinned.next_fire_time(WHEN)
    if slot is not None:
        assert slot > WHEN
    pinned.last(NOW)


def cron(data: bytes) -> bool:
    """Read a cron expression; the first byte says where its seconds stand."""
    places: tuple[Any, ...] = (None, "first", "last")
    text, place = _text(data[1:]), places[data[0] % 3] if data else None
    try:
        trigger = CronTrigger(text, seconds=place, tz="Europe/Paris")
    except TriggerError:
        return False
    try:
        _sound(trigger)
    except TriggerError:
        assert "h" in text.lower()  # only a job can settle it
    return True


def rrule(data: bytes) -> bool:
    """Read a recurrence rule."""
    try:
        trigger = RRuleTrigger(_text(data), start="2026-01-31 09:30", tz="Europe/Paris")
    except TriggerError:
        return False
    _sound(trigger)
    return True


def stored_trigger(data: bytes) -> bool:
    """Read a trigger from data."""
    try:
        given = json.loads(data)
    except (ValueError, RecursionError):
        return False
    try:
        trigger = trigger_from_data(given)
        _sound(trigger)
    except TriggerError:
        return False
    return True


def phrase(data: bytes) -> bool:
    """Say a phrase: words between blanks, each a property or a call with a text."""
    said: Any = every
    try:
        for word in _text(data).split(";"):
            name, mark, value = word.partition("=")
            if not name.isidentifier() and said is not every:
                return False
            if said is every:
                said = every(_number(value)) if mark else every()
            elif mark:
                given: Any = _number(value) if name == "to" else value
                said = getattr(said, name)(given)
            else:
                said = getattr(said, name)
    except (TriggerError, AttributeError, TypeError):
        return False  # or a word that a phrase does not have, or a call of what is none
    if not isinstance(said, Trigger):
        return False
    try:
        _sound(said)
    except TriggerError:
        return False  # it has ended before it was pinned
    return True


def _number(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        return text


def words(data: bytes) -> bool:
    """Read words of a configuration: unit, every, at, tz, until, line by line."""
    given = [*_text(data).split("\n"), "", "", "", "", ""]
    unit, often, at, tz, until = given[:5]
    said: dict[str, Any] = {"tz": tz or "UTC", "at": at or None, "until": until or None}
    said["every"] = _number(often) if often else None
    try:
        trigger = from_unit(unit, **said)
    except TriggerError:
        return False
    assert ScheduleConfig(unit=unit, **said).trigger() == trigger
    with contextlib.suppress(TriggerError):  # it may have ended by now
        _sound(trigger)
    return True


def job(data: bytes) -> bool:
    """Build a job from data, as from a message or a file."""
    try:
        given = json.loads(data)
    except (ValueError, RecursionError):
        return False
    try:
        built = Job.from_dict(given)
        written = json.dumps(built.to_dict())
    except InvalidInputError:
        return False
    assert Job.from_dict(json.loads(written)) == built
    repr(built)
    return True


def names(data: bytes) -> bool:
    """Check a text as id, keyword, queue, tag and note; what passes can be kept."""
    text, passed = _text(data), 0
    for check in (checks.identifier, checks.keyword, checks.queue, checks.free_text):
        try:
            kept = check("field", text)
        except ConfigurationError as error:
            str(error).encode()
            continue
        assert kept == text
        text.encode()
        passed += 1
    with contextlib.suppress(ConfigurationError):
        checks.tags("tags", [text, text])
        passed += 1
    return bool(passed)


def _plain(first: int, *rest: str, day: datetime | None = None, **more: float) -> None:
    raise AssertionError("only its signature counts")


_KNOWN = Registry()
_PLAIN = _KNOWN.register(_plain, name="plain")


def payload(data: bytes) -> bool:
    """Check data as payload, arguments and result, of executors known and not."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = _text(data)
    passed = 0
    for known in (None, _PLAIN):
        try:
            text = check_payload(known, b"[[1],{}]", value, limit=4_096)
            assert len(text) <= 4_096
            json.loads(text or b"null")
            passed += 1
        except ArgumentsError as error:
            str(error).encode()
        if isinstance(value, list):
            try:
                text = dump(known, value, {}, limit=4_096)
                assert len(text) <= 4_096
                json.loads(text or b"null")
                passed += 1
            except ArgumentsError as error:
                str(error).encode()
    json.loads(dump_result(value, limit=4_096) or b"null")
    return bool(passed)


def url(data: bytes) -> bool:
    """Read a store's URL, in which the canary is a password."""
    text = _text(data)
    masked(text)
    try:
        open_store(text)
    except ConfigurationError as error:
        str(error).encode(errors="surrogatepass")
        _kept_secret(text, f"{error} {error!r} {error.value!r}")
        return False
    if urlsplit(text).scheme != "memory":
        address = parse_url(text)
        _kept_secret(text, f"{address} {address!r} {open_store(text)!r}")
    return True


def _kept_secret(text: str, shown: str) -> None:
    """Refuse a password of the URL among what is shown."""
    marks = (f":{seeds.CANARY}@", f"password={seeds.CANARY}")
    if any(mark in text for mark in marks) and seeds.CANARY not in seeds.bare(text):
        assert seeds.CANARY not in shown, shown


def command(data: bytes) -> bool:
    """Read the words of a command line, one a line."""
    given = _text(data).split("\n")
    heard = io.StringIO()
    try:
        with contextlib.redirect_stderr(heard), contextlib.redirect_stdout(heard):
            parser().parse_args(given)
    except SystemExit as error:
        if error.code not in (0, 2):
            raise AssertionError(error.code) from error
        return error.code == 0
    return True


TARGETS: dict[str, Target] = {
    name: Target(check, seeds.SEEDS[name], seeds.WORDS.get(name, ()))
    for name, check in {
        "record": record,
        "spec": spec,
        "row": row,
        "act": act,
        "member": member,
        "executor": executor,
        "changed": changed,
        "done": done,
        "terms": terms,
        "cron": cron,
        "rrule": rrule,
        "trigger": stored_trigger,
        "phrase": phrase,
        "words": words,
        "job": job,
        "names": names,
        "payload": payload,
        "url": url,
        "command": command,
    }.items()
}
"""All of them, by name."""
