"""What the fuzzers begin with: valid inputs, made by the product's own writers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from aiosched.abc import Member
from aiosched.enums import Cause, JobState, Overlap, Reason, RowKind
from aiosched.jobs import Job, Retry
from aiosched.records import (
    Counts,
    Definition,
    LiveRun,
    Pending,
    Record,
    RetryRule,
    Row,
    Spec,
    State,
)
from aiosched.rows import Act, pack_act, pack_row
from aiosched.stores.redis.codec import encode
from aiosched.stores.redis.members import _pack
from aiosched.stores.redis.specs import SpecCache, encode_spec
from aiosched.triggers import (
    CalendarIntervalTrigger,
    CronTrigger,
    DateTrigger,
    IntervalTrigger,
    Trigger,
    every,
)

__all__ = ["CANARY", "NOW", "SEEDS", "SPEC", "WORDS", "bare"]

NOW = 1_795_262_400_000_000
CANARY = "c4n4ry-s3cr3t"
"""A password that must never be seen again."""

_START = datetime(2026, 1, 1, tzinfo=UTC)
_TRIGGERS: tuple[Trigger, ...] = (
    CronTrigger("*/5 9-17 * * mon-fri", tz="Europe/Paris"),
    CronTrigger("H 3 last fri * *"),
    IntervalTrigger(minutes=5, start=_START),
    DateTrigger(_START),
    CalendarIntervalTrigger(months=1, at="10:30", tz="Asia/Tokyo"),
    every(5).to(10).seconds,
    every(2).weeks.on("monday", "friday").at("10:30"),
    CronTrigger("0 0 * * *") & CronTrigger("0 0 1 * *"),
    CronTrigger("0 9 * * *").excluding("2026-12-24", "sat"),
    every().day.at("08:00").until("2030-01-01"),
)
SPEC = Spec("work", IntervalTrigger(seconds=1).rule())
_SPECS = (
    SPEC,
    Spec(
        "Work",
        _TRIGGERS[0].rule(),
        keyword="paid",
        queue="q",
        max_runs=3,
        misfire_grace=60_000_000,
        overlap=Overlap.QUEUE,
        retry=RetryRule(3, 1_000_000, errors=("OSError",)),
        tags=("a", "b"),
        note="a note",
        meta='{"x":[1,2]}',
        declared=2,
        coalesce_limit=4,
        keep=7,
        timeout=9,
        jitter=5,
    ),
    *(Spec("w", trigger.rule()) for trigger in _TRIGGERS),
)


def _record(state: State, **definition: Any) -> bytes:
    line, _ = SpecCache().line(SPEC)
    return encode(Record(Definition("id", SPEC, **definition), state), line, {})


_FIRING = Pending("fire-1", Cause.KEYWORD, NOW, NOW + 5, payload=b'{"a":1}')
_SLOT = Pending(str(NOW), Cause.SLOT, NOW, NOW, attempt=1, open=True, expires=NOW + 9)
_ROW = Row(
    "id",
    RowKind.SUCCEEDED,
    NOW,
    NOW - 5,
    NOW - 5,
    1,
    str(NOW - 5),
    Cause.SLOT,
    1,
    final=True,
    fence=NOW,
    owner="p1",
    reason=Reason.NONE,
    started=NOW - 3,
    value=b'{"ok":true}',
)
_LINE = pack_row(_ROW)
_RECORDS = (
    _record(State(NOW, NOW)),
    _record(State(NOW, NOW - 10, next=NOW + 5), anchor=NOW, arguments=b'[[1],{"a":2}]'),
    _record(
        State(
            NOW + 9,
            NOW - 99,
            7,
            JobState.PAUSED,
            next=NOW + 5,
            since=NOW - 50,
            latest=NOW - 5,
            runs=(LiveRun(NOW + 8, "p1", NOW + 15, NOW, _SLOT, Reason.REMOVED),),
            waiting=(_FIRING,),
            counts=Counts(3, 1, 2, 1, succeeded=3),
            pause_until=NOW + 60,
            pause_note="why|not",
            recent=(_LINE,),
        ),
        arguments=b"[[],{}]",
    ),
)
_MEMBER = Member(
    "m1", "peer", ("default",), ("work",), True, NOW, 2, NOW - 60, "host", 1, ("cron",)
)
_JOBS = (
    Job(executor="work", id="a"),
    Job(executor="work", trigger=_TRIGGERS[0], id="b", tags=("x",), meta={"k": [1]}),
    Job(
        executor="w",
        keyword="paid",
        id="c",
        retry=Retry(3, delay=1),
        timeout=timedelta(seconds=5),
        args=(1, "two"),
        kwargs={"k": None},
    ),
)
_DATA = [json.dumps(trigger.to_data()).encode() for trigger in _TRIGGERS]

SEEDS: dict[str, tuple[bytes, ...]] = {
    "record": _RECORDS,
    "spec": tuple(encode_spec(one) for one in _SPECS),
    "row": (_LINE.encode(),),
    "act": (pack_act(Act("me", "why", ("note",))),),
    "member": (_pack(_MEMBER, NOW).encode(),),
    "executor": (
        b'[%d,[["x","positional_or_keyword",true]],"q"]' % NOW,
        b'[%d,[["a","var_positional",false],["k","var_keyword",false]],""]' % NOW,
    ),
    "changed": (b"id|default|%d|%d" % (NOW, NOW), b"a%25b|q||5\nb|q|7|8"),
    "done": (b"id", b"a%7Cb\nc"),
    "terms": (
        b"schema\n1\nepoch\nabc\nshards\n64\nlease\n15000000\nbeat\n5000000",
        b"schema\n2",
        b"schema\n1\nmember_timeout\n15000000\nsteal_delay\n0",
    ),
    "cron": (
        b"\x00*/5 9-17 * * mon-fri",
        b"\x00H(0-29)/10 H 1-28/3 jan-jun *",
        b"\x00@daily",
        b"\x010 0 12 L-3,15W * ?",
        b"\x000 0 last fri * *",
        b"\x00* * lw * fri#2,5l",
        b"\x020 0 * * * 30",
    ),
    "rrule": (
        b"FREQ=MONTHLY;BYDAY=-1FR",
        b"RRULE:FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE;COUNT=10",
        b"FREQ=YEARLY;BYWEEKNO=1,-1;BYDAY=MO;WKST=SU",
        b"FREQ=DAILY;UNTIL=20300101T000000Z;BYHOUR=9,17;BYSETPOS=-1",
        b"FREQ=HOURLY;BYMINUTE=0,30",
        b"FREQ=YEARLY;BYYEARDAY=366;INTERVAL=7",
    ),
    "trigger": tuple(_DATA),
    "phrase": (
        b"every;day;at=10:30",
        b"every=5;to=10;seconds",
        b"every=2;weeks;on=monday;at=13:15",
        b"every;wednesday;at=13:15;until=2030-01-01 18:30",
        b"every=3;months;at=08:00",
        b"every=10;minutes;until=18:30",
        b"every;minute;at=:17",
        b"every=4;hours;starting=2030-01-01",
    ),
    "words": (
        b"days\n3\n10:30\nEurope/Paris\n2030-01-01",
        b"monday\n\n13:15",
        b"hours\n2\n\n\n18:30",
        b"month",
        b"weeks\n2\n\n\nP3D",
    ),
    "job": tuple(json.dumps(one.to_dict()).encode() for one in _JOBS),
    "names": (b"invoices", b"order-paid", b"a b", b"*", b"\xed\xa0\x80", b"a\x00b"),
    "payload": (
        b'{"first": 7}',
        b'[1, "2"]',
        b"[[[[[[1]]]]]]",
        b'{"first": 1e999}',
        b'{"day": "2026-01-01T00:00:00Z", "first": 1}',
        b"NaN",
        b'"\\ud800"',
        b"\xed\xa0\x80",
    ),
    "url": tuple(
        text.replace("SECRET", CANARY).encode()
        for text in (
            "redis://user:SECRET@localhost:6379/0",
            "redis://?redis://user:SECRET@localhost:6379/0",
            "rediss://:SECRET@[::1]/1?ssl_cert_reqs=none",
            "unix:///run/redis.sock?db=0&password=SECRET",
            "redis+cluster://u:SECRET@h1,h2:7001",
            "redis+sentinel://h/sentinel_password=SECRET",
            "redis+sentinel://:SECRET@h1,h2:26379/master/0",
            "redis+sentinel://h/m?sentinel_password=SECRET",
            "redis://localhost?password=SECRET",
            "memory://",
        )
    ),
    "command": (
        b"demo\n--seconds\n8",
        b"results\na\n--store\nredis://h\n--since\n2030-01-31T09:00+01:00",
        b"next\n*/5 * * * *\n-n\n3",
        b"preview\n@daily\n--json",
        b"jobs\n--store\nmemory://\n--tag\nx",
        b"run\nmodule:name\n--grace\n5",
        b"doctor\n--store\nredis://h\n--fix",
        b"schema\njob",
        b"states\n--dot",
        b"why\na\n2030-01-31T09:00\n--store\nx",
    ),
}

_CRON = b"* ? L W # H R - / , @yearly @daily last 2nd mon sun jan dec fri 0 59 60 7 lw"
WORDS: dict[str, tuple[bytes, ...]] = {
    "record": (b"|", b";", b",", b"~", b"@", b"%7C", b"\n", b"-", b"=", b"9" * 25),
    "spec": (b'"t":{"kind":"cron"', b'"y":[3,1,2.0,3,0,[],true]', b"1e999", b"[[[["),
    "row": (b"|", b"=", b"~", b"%0A", b"9" * 25),
    "changed": (b"|", b"\n", b"%25"),
    "cron": tuple(_CRON.split()),
    "rrule": tuple(
        b"FREQ= INTERVAL= COUNT= UNTIL= WKST= BYSECOND= BYMINUTE= BYHOUR= BYDAY= "
        b"BYMONTHDAY= BYYEARDAY= BYWEEKNO= BYMONTH= BYSETPOS= YEARLY MONTHLY WEEKLY "
        b"DAILY HOURLY MO -1FR +53SU ; , 366".split()
    ),
    "trigger": tuple(
        f'"{name}":'.encode()
        for name in (
            *("kind", "expression", "tz", "start", "end", "seconds", "weeks", "days"),
            *("triggers", "trigger", "at", "months", "years", "month_end", "days"),
        )
    ),
    "phrase": tuple(
        b"every ; = day days week weeks month months year hour minute second to at on "
        b"until starting monday excluding describe".split()
    ),
    "words": tuple(b"day days weeks months years monday seconds \n 10:30 PT5M".split()),
    "job": tuple(
        f'"{name}":'.encode()
        for name in (*Job.model_fields, "attempts", "delay", "kind")
    ),
    "url": tuple(b"redis:// rediss:// unix:// redis+cluster:// @ : / ? # % [".split()),
    "command": tuple(b"--store --limit --all --json --kind --help -n --tz \n".split()),
}


def bare(url: str) -> str:
    """Return a URL without its marked secrets, to see whether they stand elsewhere."""
    return url.replace(f":{CANARY}@", "").replace(f"password={CANARY}", "")
