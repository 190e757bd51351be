"""What befalls a simulated cluster: incidents, as data.

An incident says what happens, to whom, and when.  A run of the simulator is a
seed and a list of incidents, so a failing one can be written down, shortened
and run again.  The text form is one word an incident, joined by ``;``::

    crash:p1:12.3:4                 at second 12.3, back after 4 s
    crash:p1:after_claim#3          at its third claim, once it is committed; for good
    stall:p2:20:45                  the whole process, as by SIGSTOP, for 45 s
    lose:p0:10:30:0.5               half of its signals, for 30 s
    lose:store:10:30:1              all signals of everybody, for 30 s
    cut:p1:after_settle#2           the settle is applied, the reply is lost
    rollback:store:40:2:5           down for 2 s, then as it was 5 s before

Where the moment matters, an incident names a **point** and its ordinal for that
node, else a second of virtual time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NoReturn, cast, get_args

from aiosched.errors import ConfigurationError

__all__ = [
    "CLUSTER",
    "KINDS",
    "LOSING",
    "POINTS",
    "STORE",
    "Incident",
    "IncidentKind",
    "Point",
    "parse_incidents",
    "show_incidents",
]

IncidentKind = Literal[
    "crash",
    "stall",
    "block",
    "skew",
    "partition",
    "lose",
    "delay",
    "double",
    "cut",
    "refuse",
    "silence",
    "loading",
    "readonly",
    "oom",
    "restart",
    "rollback",
    "empty",
    "drift",
    "deploy",
]
Point = Literal[
    "before_claim",
    "after_claim",
    "mid_run",
    "before_settle",
    "after_settle",
    "before_write",
    "after_write",
    "signal",
]

KINDS: Final[tuple[IncidentKind, ...]] = get_args(IncidentKind)
POINTS: Final[tuple[Point, ...]] = get_args(Point)
STORE: Final = "store"
"""The target of an incident that befalls the store."""
CLUSTER: Final = "cluster"
"""The target of an incident that befalls one node after the other."""
LOSING: Final[frozenset[IncidentKind]] = frozenset({"rollback", "empty"})
"""Kinds after which the store has less than it acknowledged."""

_WRITES: Final[tuple[Point, ...]] = (
    *("before_claim", "after_claim", "before_settle", "after_settle"),
    *("before_write", "after_write"),
)
_NUMBER: Final = r"-?[0-9]+(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?"
_FORM: Final = re.compile(
    r"(?P<kind>[a-z]+):(?P<target>[^:;#]+)"
    rf":(?:(?P<point>[a-z_]+)#(?P<ordinal>[0-9]{{1,9}})|(?P<at>{_NUMBER}))"
    rf"(?::(?P<seconds>{_NUMBER})?(?::(?P<amount>{_NUMBER}))?)?"
)


@dataclass(frozen=True, slots=True)
class _Rule:
    """What fits one kind.

    Attributes:
        target: ``node``, or what stands in its place.
        seconds: Whether it needs a duration; None: it may have one.
        amount: Its meaning; empty: it has none.
        points: Where it can happen, beside any second.
        timed: Whether it can happen at a second.
    """

    target: str = "node"
    seconds: bool | None = True
    amount: Literal["", "signed", "share", "age"] = ""
    points: tuple[Point, ...] = ()
    timed: bool = True


_HALTS: Final = (*_WRITES, "mid_run")
_AT_STORE: Final = _Rule(STORE)
_SIGNALS: Final = _Rule(amount="share", points=("signal",))
_RULES: Final[dict[IncidentKind, _Rule]] = {
    "crash": _Rule(seconds=None, points=_HALTS),
    "stall": _Rule(points=_HALTS),
    "block": _Rule(points=_HALTS),
    "skew": _Rule(seconds=False, amount="signed"),
    "partition": _Rule(),
    "lose": _SIGNALS,
    "delay": _SIGNALS,
    "double": _SIGNALS,
    "cut": _Rule(seconds=False, points=_WRITES, timed=False),
    "refuse": _AT_STORE,
    "silence": _AT_STORE,
    "loading": _AT_STORE,
    "readonly": _AT_STORE,
    "oom": _AT_STORE,
    "restart": _AT_STORE,
    "rollback": _Rule(STORE, amount="age"),
    "empty": _AT_STORE,
    "drift": _Rule(STORE, seconds=False, amount="signed"),
    "deploy": _Rule(CLUSTER),
}


@dataclass(frozen=True, slots=True)
class Incident:
    """One thing that happens.

    Attributes:
        kind: What; the table in ``docs/explanation/simulation.md`` has them all.
        target: A node's name, ``"store"``, or ``"cluster"``.
        at: Virtual second; ignored where a point is named.
        point: Where in the node's work; None: at ``at``.
        ordinal: Which time the node comes by there, from 1; 0 without a point.
        seconds: How long it lasts.  Of a ``crash``, until the node is back, and
            None means never; of ``deploy``, between one node and the next.
        amount: Of ``skew``, seconds by which the node's wall clock steps; of
            ``drift``, how much faster the store's clock goes (0.001: by 0.1 %);
            of ``rollback``, how many seconds of writes are gone; of ``lose``,
            ``delay`` and ``double``, the share of signals, 0 to 1.
    """

    kind: IncidentKind
    target: str
    at: float = 0.0
    point: Point | None = None
    ordinal: int = 0
    seconds: float | None = None
    amount: float | None = None

    def __post_init__(self) -> None:
        """Refuse what could never happen.

        Raises:
            ConfigurationError: It names the field, the value, and what would fit.
        """
        _check(self)

    def __str__(self) -> str:
        """Return the text form, which :meth:`parse` reads."""
        when = (
            _number(self.at) if self.point is None else f"{self.point}#{self.ordinal}"
        )
        parts = [self.kind, self.target, when]
        if self.seconds is not None or self.amount is not None:
            parts.append("" if self.seconds is None else _number(self.seconds))
        if self.amount is not None:
            parts.append(_number(self.amount))
        return ":".join(parts)

    @classmethod
    def parse(cls, text: str) -> Incident:
        """Read the text form.

        Raises:
            ConfigurationError: It is none.
        """
        found = _FORM.fullmatch(text.strip())
        if found is None or found["kind"] not in KINDS:
            raise ConfigurationError(
                "incidents",
                text,
                "is no incident",
                "write kind:target:when[:seconds[:amount]]",
            )
        return cls(
            cast("IncidentKind", found["kind"]),
            found["target"],
            float(found["at"] or 0),
            cast("Point | None", found["point"]),
            int(found["ordinal"] or 0),
            None if not found["seconds"] else float(found["seconds"]),
            None if not found["amount"] else float(found["amount"]),
        )

    # -- one maker a kind, for people -------------------------------------------

    @classmethod
    def crash(
        cls,
        node: str,
        at: float = 0.0,
        *,
        back: float | None = None,
        point: Point | None = None,
        ordinal: int = 1,
    ) -> Incident:
        """Kill a node, as SIGKILL would; it is back after ``back`` seconds."""
        return cls("crash", node, at, *_point(point, ordinal), back)

    @classmethod
    def stall(
        cls,
        node: str,
        at: float = 0.0,
        *,
        seconds: float,
        point: Point | None = None,
        ordinal: int = 1,
    ) -> Incident:
        """Stop a node's process, as SIGSTOP would, and let it go on later."""
        return cls("stall", node, at, *_point(point, ordinal), seconds)

    @classmethod
    def block(
        cls,
        node: str,
        at: float = 0.0,
        *,
        seconds: float,
        point: Point | None = None,
        ordinal: int = 1,
    ) -> Incident:
        """Block a node's event loop; its lifeline goes on."""
        return cls("block", node, at, *_point(point, ordinal), seconds)

    @classmethod
    def partition(cls, node: str, at: float, *, seconds: float) -> Incident:
        """Cut a node off from the store; what was sent arrives afterwards."""
        return cls("partition", node, at, seconds=seconds)

    @classmethod
    def skew(cls, node: str, at: float, *, by: float) -> Incident:
        """Step a node's wall clock by so many seconds."""
        return cls("skew", node, at, amount=by)

    @classmethod
    def cut(cls, node: str, point: Point, ordinal: int = 1) -> Incident:
        """Break the connection around a transaction: before it, or its reply."""
        return cls("cut", node, 0.0, point, ordinal)

    @classmethod
    def lose(
        cls, node: str, at: float, *, seconds: float, share: float = 1
    ) -> Incident:
        """Lose a share of the signals for a node; for ``"store"``, of everybody's."""
        return cls("lose", node, at, seconds=seconds, amount=share)

    @classmethod
    def outage(cls, at: float, *, seconds: float, silent: bool = False) -> Incident:
        """Let the store refuse connections, or take them and say nothing."""
        return cls("silence" if silent else "refuse", STORE, at, seconds=seconds)

    @classmethod
    def restart(
        cls, at: float, *, seconds: float, losing: float | None = 0.0
    ) -> Incident:
        """Restart the store.

        Args:
            at: Virtual second at which it goes down.
            seconds: Until it is back.
            losing: How many seconds of writes are gone then; None: everything.
        """
        if losing is None:
            return cls("empty", STORE, at, seconds=seconds)
        if losing:
            return cls("rollback", STORE, at, seconds=seconds, amount=losing)
        return cls("restart", STORE, at, seconds=seconds)

    @classmethod
    def deploy(cls, at: float, *, gap: float) -> Incident:
        """Restart all nodes politely, one by one, each with the next revision."""
        return cls("deploy", CLUSTER, at, seconds=gap)

    # -- what the world asks ------------------------------------------------------

    @property
    def begins(self) -> float:
        """Virtual second from which the world has to do something; inf: a point."""
        if self.point is not None:
            return math.inf
        return self.at - (self.amount or 0.0) if self.kind == "rollback" else self.at

    @property
    def losing(self) -> bool:
        """Whether the store forgets acknowledged writes."""
        return self.kind in LOSING


def parse_incidents(text: str) -> tuple[Incident, ...]:
    """Read incidents joined by ``;``; empty text is none.

    Raises:
        ConfigurationError: One of them is no incident.
    """
    return tuple([Incident.parse(one) for one in text.split(";") if one.strip()])


def show_incidents(incidents: Iterable[Incident]) -> str:
    """Return the text that :func:`parse_incidents` reads."""
    return ";".join(map(str, incidents))


def _point(point: Point | None, ordinal: int) -> tuple[Point | None, int]:
    return (None, 0) if point is None else (point, ordinal)


def _number(value: float) -> str:
    """Write a number as short as it can be read back."""
    return str(int(value)) if value == int(value) else repr(value)


def _check(one: Incident) -> None:
    rule = _RULES.get(one.kind)
    if rule is None:
        _refuse(one, "kind", "is none", KINDS)
    if type(one.target) is not str or not one.target or set(one.target) & set(":;#"):
        _refuse(one, "target", "is no name", (rule.target,))
    known = one.target if one.target in {STORE, CLUSTER} else "node"
    # What the store's host loses, it loses for everybody.
    everybody = known == STORE and rule.amount == "share" and one.point is None
    if known != rule.target and not everybody:
        _refuse(one, "target", f"cannot be that of {one.kind}", (rule.target,))
    for field in ("at", "seconds", "amount"):
        value = getattr(one, field)
        if value is not None and type(value) not in (int, float):
            _refuse(one, field, "is not a number", ("a number of seconds",))
        signed = field == "amount" and rule.amount == "signed"
        if value is not None and not (math.isfinite(value) and (signed or value >= 0)):
            _refuse(one, field, "is no such number", ("a finite one, not negative",))
    if one.point == "signal":
        _exclude(one, "seconds", "amount")
    else:
        _check_numbers(one, rule)
    _check_place(one, rule)


def _check_numbers(one: Incident, rule: _Rule) -> None:
    if rule.seconds is not None and (one.seconds is not None) is not rule.seconds:
        fitting = "a duration" if rule.seconds else "None"
        _refuse(one, "seconds", f"does not fit {one.kind}", (fitting,))
    if (one.amount is not None) is not bool(rule.amount):
        fitting = f"a number ({rule.amount})" if rule.amount else "None"
        _refuse(one, "amount", f"does not fit {one.kind}", (fitting,))
    if rule.amount == "share" and one.amount is not None and one.amount > 1:
        _refuse(one, "amount", "is no share", ("0 to 1",))


def _check_place(one: Incident, rule: _Rule) -> None:
    if one.point is None:
        if not rule.timed:
            _refuse(one, "point", "is missing", rule.points)
        if one.ordinal:
            _refuse(one, "ordinal", "needs a point", rule.points or ("0",))
        return
    if one.point not in rule.points:
        _refuse(one, "point", f"does not fit {one.kind}", rule.points or ("None",))
    if type(one.ordinal) is not int or one.ordinal < 1:
        _refuse(one, "ordinal", "is counted from 1", ("1 or more",))
    _exclude(one, "at")


def _exclude(one: Incident, *fields: str) -> None:
    for field in fields:
        if getattr(one, field):
            _refuse(one, field, "does not go with a point", ("leave it out",))


def _refuse(
    one: Incident, field: str, problem: str, fitting: Sequence[str]
) -> NoReturn:
    value = getattr(one, field)
    raise ConfigurationError(field, value, problem, f"fitting: {', '.join(fitting)}")
