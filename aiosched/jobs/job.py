"""The job itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Self, Unpack

from pydantic import Field, PrivateAttr, field_validator
from pydantic_core import to_jsonable_python

from aiosched.enums import Coalesce, OnLost, Overlap
from aiosched.errors import ConfigurationError
from aiosched.ids import draw_id
from aiosched.jobs import checks
from aiosched.jobs.base import Duration
from aiosched.jobs.inputs import (
    CHECKS,
    DEFAULT_KEEP,
    JobChanges,
    JobFields,
    TriggerField,
    executor_name,
    settle_when,
)
from aiosched.jobs.plain import to_plain
from aiosched.jobs.retry import Retry
from aiosched.jobs.snapshots import DEFAULT_QUEUE, SNAPSHOT_FIELDS, Stored

if TYPE_CHECKING:
    from pydantic import ValidationInfo

__all__ = ["Job"]

_NOT_COMPARED = frozenset(("args", "kwargs", "meta", "queue", "paused"))


class Job(Stored):
    """A durable definition of work: what is run, when, and by which rules.

    Durations are given as timedeltas or numbers of seconds.  Jobs are equal if
    their definitions are; what the store adds (version, state, next fire time
    and so on) and ``paused`` do not count.
    """

    executor: str
    """Name of the registered executor; a class or function may be given."""
    args: tuple[Any, ...] = ()
    """Positional arguments, after the context."""
    kwargs: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments."""
    id: Annotated[str, Field(min_length=1, max_length=checks.MAX_NAME)]
    """Unique in the namespace; drawn when the job is built unless it is given."""
    trigger: TriggerField | None = None
    """When it runs; with neither trigger nor keyword it runs once, now."""
    when: Duration | None = None
    """Run once, so long after it is scheduled; an instant becomes a trigger."""
    keyword: Annotated[str, Field(min_length=1, max_length=checks.MAX_NAME)] | None = (
        None
    )
    """``fire_job`` with this word runs it; many jobs may have the same."""
    queue: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\-]{1,64}$")] | None = None
    """Which peers run it; none given: the executor's queue, else "default"."""
    paused: bool = False
    """Whether it is paused from the start."""
    max_runs: Annotated[int, Field(ge=1)] | None = None
    """How many slots are run at most; fires by keyword or hand do not count."""
    misfire_grace: Duration | None = None
    """How late a slot may start; none given: until the next, at least 60 s."""
    coalesce: Coalesce = Coalesce.LATEST
    """Which of several slots that are due at once is run."""
    coalesce_limit: Annotated[int, Field(ge=1)] | None = None
    """With ``coalesce="all"``: how many of those slots are run, the newest."""
    overlap: Overlap = Overlap.SKIP
    """What to do with a slot while the job runs ``max_running`` times."""
    max_running: Annotated[int, Field(ge=1, le=checks.MAX_RUNNING)] = 1
    """How many runs of it there may be at a time, over all peers.

    With ``overlap="allow"`` 100 by default.
    """
    jitter: Duration = timedelta(0)
    """Each slot starts up to so much later, by a share of its own."""
    timeout: Duration | None = None
    """How long a run may take; none given: any time."""
    retry: Retry | None = None
    """When a failed run is tried again; none given: never."""
    on_lost: OnLost = OnLost.RERUN
    """What becomes of a run whose peer died."""
    max_lost: Annotated[int, Field(ge=0, le=100)] = 3
    """How often a firing is run again after its peer died."""
    keep: Duration = DEFAULT_KEEP
    """How long the finished job is remembered; with a drawn id 0 by default."""
    keep_last: Annotated[int, Field(ge=0, le=100)] = 10
    """How many outcomes it carries with it, beside the ledger."""
    keep_results: Duration | None = None
    """How long results are shown; none given: as long as their ledger rows."""
    tags: tuple[str, ...] = ()
    """Words to find it by."""
    note: Annotated[str, Field(max_length=checks.MAX_NOTE)] = ""
    """What people should know about it."""
    meta: dict[str, Any] = Field(default_factory=dict)
    """Your own data, a JSON object of up to 16 kB."""

    _target: object = PrivateAttr(default=None)
    _drawn: bool = PrivateAttr(default=False)

    def __init__(
        self,
        executor: object,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **fields: Unpack[JobFields],
    ) -> None:
        """Check every field, and draw an id unless one is given.

        Raises:
            ConfigurationError: A field cannot be used.
            ArgumentsError: ``args`` is no sequence or ``kwargs`` no mapping.
            TriggerError: ``trigger`` or ``when`` is none that can be used.
        """
        values: dict[str, Any] = {**fields}
        drawn = values.get("id") is None
        if drawn:
            values["id"] = draw_id()
        if values.get("keep") is None:
            values["keep"] = timedelta(0) if drawn else DEFAULT_KEEP
        settle_when(values)
        if "max_running" not in values and values.get("overlap") == Overlap.ALLOW:
            values["max_running"] = checks.MAX_RUNNING
        name = executor if isinstance(executor, str) else executor_name(executor)
        arguments = {"args": args, "kwargs": {} if kwargs is None else kwargs}
        self._fill({"executor": name, **arguments, **values})
        self._drawn = drawn
        if not isinstance(executor, str):
            self._target = executor

    @field_validator("*", mode="before")
    @classmethod
    def _check(cls, value: object, info: ValidationInfo) -> object:
        name = info.field_name or ""
        return CHECKS[name](name, value)

    @classmethod
    def model_validate(cls, obj: Any, **_: Any) -> Self:
        """Build a job from a mapping; like :meth:`from_dict`."""
        return obj if isinstance(obj, cls) else cls.from_dict(obj)

    # -- as data ---------------------------------------------------------------

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Build a job from what :meth:`to_dict` wrote, or from your own data.

        What a snapshot adds is passed over.

        Raises:
            InvalidInputError: As the constructor; also for an unknown field.
        """
        if not isinstance(data, Mapping):
            raise ConfigurationError(
                "job", data, "is not a mapping", 'give a dict with an "executor"'
            )
        fields = {str(k): v for k, v in data.items() if k not in SNAPSHOT_FIELDS}
        if "executor" not in fields:
            raise ConfigurationError(
                "executor", None, "is missing", 'add the name of one: "executor": ...'
            )
        return cls(**fields)

    def to_dict(self, *, snapshot: bool = False) -> dict[str, Any]:
        """Return the definition as JSON values.

        Args:
            snapshot: Add what the store knows (version, state and so on).

        Raises:
            ArgumentsError: An argument has no JSON form by itself; ``field`` is
                its path.
        """
        data = self.model_dump(mode="json", exclude={"args", "kwargs"})
        data = {
            "executor": data.pop("executor"),
            "args": to_plain(self.args, "args"),
            "kwargs": to_plain(self.kwargs, "kwargs"),
            **data,
        }
        return data | self._snapshot.to_dict() if snapshot else data

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Return the JSON schema of :meth:`to_dict`."""
        return cls.model_json_schema()

    def with_changes(self, **changes: Unpack[JobChanges]) -> Self:
        """Return a checked copy with some fields changed.

        It keeps the id, and what the store said about the original.

        Raises:
            InvalidInputError: As the constructor.
        """
        values = {name: getattr(self, name) for name in type(self).model_fields}
        if self._target is not None:
            values["executor"] = self._target
        if {"trigger", "when"} & changes.keys():
            values |= {"trigger": None, "when": None}
        if changes.get("overlap") == Overlap.ALLOW and self.max_running == 1:
            del values["max_running"]  # one at a time is not what is meant now
        values |= changes
        if values["keep"] is None and self._drawn:
            values["keep"] = timedelta(0)
        copy = type(self)(**values)
        copy._drawn = self._drawn and copy.id == self.id
        copy._snapshot = self._snapshot
        return copy

    # -- what the constructor knows ------------------------------------------------

    @property
    def target(self) -> object:
        """The class, instance or function that was given; None: a name was."""
        # Asked for each job that is scheduled; ``self._target`` takes far longer.
        private = self.__pydantic_private__
        return None if private is None else private["_target"]

    @property
    def drawn(self) -> bool:
        """Whether the id was drawn, not chosen; such a job leaves no tombstone."""
        return self._drawn

    # -- as a value ------------------------------------------------------------------

    def _definition(self) -> tuple[Any, ...]:
        shared = [
            getattr(self, name)
            for name in type(self).model_fields
            if name not in _NOT_COMPARED
        ]
        queue = self.queue or DEFAULT_QUEUE
        values: Any = [self.args, self.kwargs, self.meta]
        # Stored arguments are JSON: a UUID equals the text that it became.  What
        # has no JSON form can still be compared, though never be stored.
        with suppress(ValueError):
            values = to_jsonable_python(values, fallback=repr)
        return (*shared, queue, values)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Job):
            return NotImplemented
        return self._definition() == other._definition()

    def __hash__(self) -> int:
        return hash((Job, self.id))

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Show what departs from the defaults, and what the store knew."""
        for name, info in type(self).model_fields.items():
            value = getattr(self, name)
            if name in ("executor", "id") or value != info.get_default(
                call_default_factory=True, validated_data={}
            ):
                yield name, value
        if self.state is None:
            return
        yield "state", self.state.value
        for name in ("next_fire_time", "last_fire_time"):
            when = getattr(self, name)
            yield name, None if when is None else when.isoformat()
