"""The registry: names, executors, and arguments on their way to a store and back."""

from __future__ import annotations

import asyncio
import functools
import json
import threading
import timeit
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from aiosched.abc import Executor, ExecutorInfo
from aiosched.context import Context
from aiosched.errors import (
    ArgumentsError,
    ConfigurationError,
    UnknownExecutorError,
)
from aiosched.jobs import Job
from aiosched.registry import (
    Registered,
    Registry,
    check_payload,
    describe_error,
    dump,
    dump_payload,
    dump_result,
    error_names,
)

if TYPE_CHECKING:
    from pathlib import Path

CONTEXT = object()


class Invoice(Executor):
    async def run(
        self, context: Context, invoice_id: int, *, draft: bool = False
    ) -> str:
        return f"{invoice_id} {draft}"


class NeedsSmtp(Executor):
    def __init__(self, smtp: object) -> None:
        self.smtp = smtp
        self.log: list[str] = []

    async def setup(self) -> None:
        self.log.append("setup")

    async def teardown(self) -> None:
        self.log.append("teardown")

    def run(self, context: Context) -> None: ...


class Model(BaseModel):
    model_config = ConfigDict(strict=True)
    key: UUID
    at: datetime


@dataclass
class Point:
    x: int


async def rich(
    key: UUID,
    at: datetime,
    price: Decimal,
    tags: set[str],
    model: Model,
    points: list[Point],
    small: Annotated[int, Field(le=10)] = 1,
) -> None: ...


async def greet(name: str, context: Context, times: int = 1) -> None: ...


def plain(a: int, /, b: int = 2, *rest: int, c: int = 3, **more: float) -> None: ...


def register(target: object, **options: Any) -> Registered:
    return Registry().register(target, **options)


# -- registering ---------------------------------------------------


def test_classes_instances_and_functions_get_names_and_kinds() -> None:
    registry = Registry()
    assert registry.register(Invoice).kind == "coroutine"
    assert registry.register(NeedsSmtp(1)).kind == "thread"
    assert registry.register(greet).kind == "coroutine"
    assert registry.register(plain).kind == "thread"
    assert registry.names == ("Invoice", "NeedsSmtp", "greet", "plain")
    assert len(registry) == 4
    assert "greet" in registry
    assert "Greet" not in registry


def test_a_partial_needs_a_name_and_keeps_its_annotations() -> None:
    partial = functools.partial(greet, "Zoë")
    with pytest.raises(ConfigurationError, match="name="):
        register(partial)
    found = register(partial, name="hello")
    assert found.kind == "coroutine"
    assert found.bind(b'[[],{"times":3}]', b"", CONTEXT) == ((CONTEXT, 3), {})
    by_name = register(functools.partial(greet, name="Zoë"), name="hi")
    assert by_name.bind(b"", b"", CONTEXT) == ((), {"context": CONTEXT})


def test_objects_that_can_be_called_or_run_are_executors_too() -> None:
    class Duck:
        async def run(self, context: object, n: int) -> None: ...

    class Called:
        async def __call__(self, n: int) -> None: ...

    for made in (register(Duck), register(Duck()), register(Called())):
        assert made.kind == "coroutine"
        assert made.info().parameters == (("n", "positional_or_keyword", True),)


def test_a_class_whose_constructor_needs_something_is_refused_with_the_remedy() -> None:
    with pytest.raises(ConfigurationError, match=r"register\(NeedsSmtp\(") as caught:
        register(NeedsSmtp)
    assert "smtp" in caught.value.problem


def gen() -> Any:
    yield 1


async def agen() -> Any:
    yield 1


class NoRun(Executor):
    pass


class NoContext(Executor):
    async def run(self) -> None: ...


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (gen, "generator"),
        (agen, "generator"),
        (NoRun, "no run"),
        (NoContext, "no context"),
        (dict, "without a run"),
        (3, "neither be called"),
    ],
)
def test_what_cannot_be_run_is_refused(target: object, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        register(target, name="x")


async def test_setup_and_teardown_are_the_executor_s_own() -> None:
    executor = NeedsSmtp(1)
    found = register(executor)
    await found.setup()
    await found.teardown()
    assert executor.log == ["setup", "teardown"]
    await register(greet).setup()


def test_registering_the_same_again_changes_nothing() -> None:
    registry = Registry()
    first = registry.register(Invoice, aliases=["Bill"], queue="slow")
    assert registry.register(Invoice, aliases=["Bill"], queue="slow") is first
    assert len(registry) == 1


def test_a_name_that_is_taken_is_refused_and_nothing_is_half_done() -> None:
    registry = Registry()
    registry.register(Invoice)
    with pytest.raises(ConfigurationError, match="is taken"):
        registry.register(greet, name="Invoice")
    with pytest.raises(ConfigurationError, match="is taken"):
        registry.register(greet, aliases=["Invoice"])
    assert registry.find("greet") is None
    assert registry.find("Invoice") is not None


def test_bad_names_and_queues_are_refused() -> None:
    for options in ({"name": ""}, {"aliases": [""]}, {"queue": "a b"}):
        with pytest.raises(ConfigurationError):
            register(greet, **options)


# -- finding ---------------------------------------------------


def test_an_executor_is_found_by_name_alias_and_identity() -> None:
    registry = Registry()
    instance = NeedsSmtp(1)
    mail = registry.register(instance, name="mail", aliases=["post"])
    hello = registry.register(greet, name="hello")
    for ref in ("mail", "post", instance, NeedsSmtp):
        assert registry.resolve(ref) is mail
    assert registry.resolve(Job(greet).target) is hello
    bound = registry.register(instance.run, name="bound")
    assert registry.find(instance.run) is bound


def test_an_unknown_executor_is_refused_and_the_known_are_listed() -> None:
    registry = Registry()
    registry.register(greet)
    with pytest.raises(UnknownExecutorError, match="known: greet") as caught:
        registry.resolve("nope")
    assert (caught.value.name, caught.value.known) == ("nope", ("greet",))
    with pytest.raises(UnknownExecutorError):
        registry.resolve(Invoice)


def test_a_class_behind_two_names_must_be_named() -> None:
    registry = Registry()
    registry.register(NeedsSmtp(1), name="one")
    registry.register(NeedsSmtp(2), name="two")
    with pytest.raises(ConfigurationError, match='"one" or "two"'):
        registry.find(NeedsSmtp)


def test_a_name_that_belongs_to_something_else_is_not_mistaken() -> None:
    registry = Registry()
    registry.register(greet, name="Invoice")
    with pytest.raises(ConfigurationError, match="something else"):
        registry.find(Invoice)


def test_peers_are_told_names_kinds_and_requirements() -> None:
    registry = Registry()
    registry.register(Invoice, aliases=["Bill"], queue="slow")
    registry.register(greet)
    invoice = (
        ("invoice_id", "positional_or_keyword", True),
        ("draft", "keyword_only", False),
    )
    assert registry.infos() == (
        ExecutorInfo("Invoice", invoice, "slow"),
        ExecutorInfo("Bill", invoice, "slow"),
        ExecutorInfo(
            "greet",
            (
                ("name", "positional_or_keyword", True),
                ("times", "positional_or_keyword", False),
            ),
        ),
    )


# -- arguments at schedule ---------------------------------------------------


def refused(
    target: object, *args: Any, partial: bool = False, **kwargs: Any
) -> ArgumentsError:
    with pytest.raises(ArgumentsError) as caught:
        dump(register(target, name="it"), args, kwargs, partial=partial)
    assert caught.value.remedy
    return caught.value


def test_no_arguments_are_no_bytes() -> None:
    assert dump(register(NeedsSmtp(1)), (), {}) == b""


def test_arguments_are_written_as_they_were_given() -> None:
    text = dump(register(Invoice), (7,), {"draft": True})
    assert json.loads(text) == [[7], {"draft": True}]


@pytest.mark.parametrize(
    ("args", "kwargs", "field", "message"),
    [
        ((), {}, "kwargs.invoice_id", "needs the argument invoice_id"),
        ((1, 2), {}, "args[1]", "does not take it"),
        ((1,), {"drafts": 1}, "kwargs.drafts", "it takes invoice_id, draft"),
        ((1,), {"invoice_id": 2}, "kwargs.invoice_id", r"as args\[0\]"),
        (("x",), {}, "args[0]", "valid integer"),
        ((1,), {"draft": "maybe"}, "kwargs.draft", "valid boolean"),
    ],
)
def test_what_does_not_fit_is_named(
    args: tuple[Any, ...], kwargs: dict[str, Any], field: str, message: str
) -> None:
    with pytest.raises(ArgumentsError, match=message) as caught:
        dump(register(Invoice), args, kwargs)
    assert caught.value.field == field


def test_partial_leaves_what_is_missing_to_the_payload() -> None:
    assert dump(register(Invoice), (), {"draft": True}, partial=True)
    assert refused(Invoice, partial=True, drafts=1).field == "kwargs.drafts"
    assert refused(Invoice, "x", partial=True).field == "args[0]"


async def loose(lock: Any, deep: Any = None) -> None: ...


async def tight(lock: asyncio.Lock) -> None: ...


def test_what_json_cannot_hold_is_named_by_its_path() -> None:
    lock = asyncio.Lock()
    assert refused(loose, lock).field == "args[0]"
    assert refused(loose, lock=lock).field == "kwargs.lock"
    error = refused(loose, lock=1, deep={"a": [1, {"lock": threading.Lock()}]})
    assert error.field == "kwargs.deep.a[1].lock"
    assert "lock" in error.problem
    assert refused(tight, lock=lock).field == "kwargs.lock"
    assert refused(tight, lock=3).field == "kwargs.lock"
    assert refused(loose, lock=float("inf")).field == "kwargs.lock"
    assert refused(loose, lock="\ud800").field == "kwargs.lock"
    assert refused(loose, lock=[b"\xff"]).field == "kwargs.lock[0]"
    circle: list[Any] = []
    circle.append(circle)
    assert refused(loose, lock=circle).problem == "contains itself"


async def measured(x: float) -> None: ...


def test_a_number_that_json_lacks_is_refused_under_its_annotation_too() -> None:
    assert refused(measured, x=float("nan")).field == "kwargs.x"
    assert json.loads(dump(register(loose), ("NaN and Infinity",), {}))[0] == [
        "NaN and Infinity"
    ]


def test_arguments_over_the_limit_are_refused() -> None:
    found = register(loose)
    big = "x" * 1_048_576
    with pytest.raises(ArgumentsError, match="1048576") as caught:
        dump(found, (), {"lock": big})
    assert caught.value.field == "kwargs"
    assert dump(found, ("x" * 90,), {}, limit=100)
    with pytest.raises(ArgumentsError):
        dump(found, ("x" * 100,), {}, limit=100)


def test_values_inside_models_are_named_by_their_path() -> None:
    error = refused(rich, points=[{"x": 1}, {"x": "y"}], partial=True)
    assert error.field == "kwargs.points[1].x"
    assert refused(rich, small=11, partial=True).field == "kwargs.small"


def test_rich_arguments_come_back_as_they_were() -> None:
    found = register(rich)
    key, at = UUID(int=5), datetime.fromisoformat("2030-01-01T00:00:00+00:00")
    values = {
        "key": key,
        "at": at,
        "price": Decimal("1.10"),
        "tags": {"a", "b"},
        "model": Model(key=key, at=at),
        "points": [Point(1), Point(2)],
    }
    text = dump(found, (), values)
    args, kwargs = found.bind(text, b"", CONTEXT)
    assert args == (
        key,
        at,
        Decimal("1.10"),
        {"a", "b"},
        values["model"],
        [Point(1), Point(2)],
    )
    assert kwargs == {}


def test_text_is_converted_as_the_annotation_says() -> None:
    found = register(Invoice)
    assert found.bind(dump(found, ("7",), {}), b"", CONTEXT) == ((CONTEXT, 7), {})


# -- binding ---------------------------------------------------


def test_the_context_goes_where_it_is_asked_for() -> None:
    found = register(greet)
    assert found.bind(b'[["Zo"],{}]', b"", CONTEXT) == (("Zo", CONTEXT), {})
    assert found.bind(b'[["Zo",3],{}]', b"", CONTEXT) == (("Zo", CONTEXT, 3), {})
    assert register(plain).bind(b"[[1],{}]", b"", CONTEXT) == ((1,), {})


def test_every_kind_of_parameter_is_bound() -> None:
    found = register(plain)
    text = dump(found, (1, 5, 6, 7), {"c": 8, "d": 9})
    assert found.bind(text, b"", CONTEXT) == ((1, 5, 6, 7), {"c": 8, "d": 9.0})
    assert refused(plain, 1, 2, "x").field == "args[2]"
    assert refused(plain, 1, d="x").field == "kwargs.d"
    assert refused(plain, a=1).field == "args[0]"


def maybe(context: Context | None = None, n: int = 0) -> None: ...


def quoted(n: int, ctx: "Context") -> None: ...  # noqa: UP037 - text is what is tested


def unresolvable(ctx: Context, where: Path, n: int) -> None: ...


def behind(n: int = 1, /, *, context: Context) -> None: ...


def skipped(n: int = 4, context: Context = None, /) -> None: ...  # type: ignore[assignment]


def test_the_context_is_recognised_in_every_spelling() -> None:
    assert register(maybe).bind(b"", b"", CONTEXT) == ((CONTEXT,), {})
    assert register(quoted).bind(b"[[1],{}]", b"", CONTEXT) == ((1, CONTEXT), {})
    found = register(unresolvable)
    assert found.bind(b'[["x",1],{}]', b"", CONTEXT) == ((CONTEXT, "x", 1), {})
    # What a type checker alone can see costs the other parameters nothing.
    assert refused(unresolvable, "x", "y").field == "args[1]"
    assert register(behind).bind(b"", b"", CONTEXT) == ((), {"context": CONTEXT})
    assert register(skipped).bind(b"", b"", CONTEXT) == ((4, CONTEXT), {})
    assert register(NeedsSmtp(1)).bind(b"", b"", CONTEXT) == ((CONTEXT,), {})


def test_a_default_before_a_named_argument_stays() -> None:
    def f(a: int = 1, b: int = 2) -> tuple[int, int]:
        return a, b

    found = register(f)
    args, kwargs = found.bind(b'[[],{"b":5}]', b"", CONTEXT)
    assert found.call(*args, **kwargs) == (1, 5)


def test_two_contexts_are_refused() -> None:
    def both(a: Context, b: Context) -> None: ...

    with pytest.raises(ConfigurationError, match="two contexts"):
        register(both)


def test_stored_arguments_that_no_longer_fit_are_refused_at_the_run() -> None:
    with pytest.raises(ArgumentsError) as caught:
        register(Invoice).bind(b'[["x"],{}]', b"", CONTEXT)
    assert caught.value.field == "args[0]"
    with pytest.raises(ArgumentsError):
        register(Invoice).bind(b"", b"", CONTEXT)


@given(
    st.integers(),
    st.integers(),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(
        st.text("defg", min_size=1), st.floats(allow_nan=False, allow_infinity=False)
    ),
)
def test_what_was_written_is_what_is_called_with(
    a: int, b: int, rest: list[int], more: dict[str, float]
) -> None:
    found = register(plain)
    text = dump(found, (a, b, *rest), more)
    assert found.bind(text, b"", CONTEXT) == ((a, b, *rest), more)


def test_binding_nothing_takes_next_to_no_time() -> None:
    found = register(NeedsSmtp(1))
    bind = found.bind
    best = min(timeit.repeat(lambda: bind(b"", b"", CONTEXT), number=1000, repeat=20))
    assert best / 1000 < 2e-6


# -- payloads ---------------------------------------------------


def test_a_payload_brings_arguments_and_wins() -> None:
    found = register(Invoice)
    text = dump(found, (7,), {"draft": True})
    payload = check_payload(found, text, {"invoice_id": 8})
    assert found.bind(text, payload, CONTEXT) == ((CONTEXT, 8), {"draft": True})
    payload = check_payload(found, b"", {"invoice_id": "9", "draft": False})
    assert found.bind(b"", payload, CONTEXT) == ((CONTEXT, 9), {"draft": False})


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"draft": True}, "kwargs.invoice_id"),
        (None, "kwargs.invoice_id"),
        (8, "kwargs.invoice_id"),
        ({"invoice_id": "x"}, "payload.invoice_id"),
        ({"invoice_id": 1, "color": 2}, "payload.color"),
        ({"invoice_id": 1, "lock": threading.Lock()}, "payload.lock"),
        ([threading.Lock()], "payload[0]"),
    ],
)
def test_a_payload_that_does_not_fit_is_refused(payload: object, field: str) -> None:
    with pytest.raises(ArgumentsError) as caught:
        check_payload(register(Invoice), b"", payload)
    assert caught.value.field == field


def test_a_payload_need_not_be_arguments() -> None:
    found = register(NeedsSmtp(1))
    payload = check_payload(found, b"", {"any": "thing"})
    assert json.loads(payload) == {"any": "thing"}
    assert found.bind(b"", payload, CONTEXT) == ((CONTEXT,), {})
    invoice = register(Invoice)
    text = dump(invoice, (7,), {})
    assert check_payload(invoice, text, [1, 2]) == b"[1,2]"
    assert invoice.bind(text, b"[1,2]", CONTEXT) == ((CONTEXT, 7), {})


def test_unknown_keys_go_where_everything_goes() -> None:
    found = register(plain)
    payload = check_payload(found, b"[[1],{}]", {"b": 5, "z": 6})
    assert found.bind(b"[[1],{}]", payload, CONTEXT) == ((1, 5), {"z": 6.0})
    with pytest.raises(ArgumentsError) as caught:
        check_payload(found, b"[[1],{}]", {"z": "x"})
    assert caught.value.field == "payload.z"


def test_a_payload_over_the_limit_is_refused() -> None:
    assert dump_payload(None) == b""
    assert len(dump_payload("x" * (1_048_576 - 2))) == 1_048_576
    with pytest.raises(ArgumentsError, match="bytes") as caught:
        dump_payload("x" * 1_048_575)
    assert caught.value.field == "payload"


def test_a_payload_of_rich_values_passes() -> None:
    payload = dump_payload({"key": UUID(int=1), "point": Point(3)})
    assert json.loads(payload) == {"key": str(UUID(int=1)), "point": {"x": 3}}


# -- executors known by hearsay ---------------------------------------------------


def test_what_a_peer_has_advertised_is_checked_by_name_and_kind() -> None:
    info = register(Invoice).info()
    assert (
        dump(info, ("anything",), {"draft": "maybe"})
        == b'[["anything"],{"draft":"maybe"}]'
    )
    for args, kwargs, field in [
        ((), {}, "kwargs.invoice_id"),
        ((1, 2), {}, "args[1]"),
        ((1,), {"x": 1}, "kwargs.x"),
        ((threading.Lock(),), {}, "args[0]"),
    ]:
        with pytest.raises(ArgumentsError) as caught:
            dump(info, args, kwargs)
        assert caught.value.field == field
    with pytest.raises(ArgumentsError) as caught:
        check_payload(info, b"", {"x": 1})
    assert caught.value.field == "payload.x"
    assert check_payload(info, b"", {"invoice_id": 1})


def test_of_an_unknown_executor_anything_that_json_holds_is_taken() -> None:
    assert json.loads(dump(None, (1,), {"a": UUID(int=1)}))[0] == [1]
    assert check_payload(None, b"", {"b": 1}) == b'{"b":1}'
    with pytest.raises(ArgumentsError) as caught:
        dump(None, (), {"a": threading.Lock()})
    assert caught.value.field == "kwargs.a"


# -- results and errors ---------------------------------------------------


class Awkward:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class RudeError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_results_are_json_or_shown() -> None:
    assert dump_result(None) == b""
    assert dump_result({"a": UUID(int=1)}) == f'{{"a":"{UUID(int=1)}"}}'.encode()
    shown = json.loads(dump_result({"lock": threading.Lock()}))
    assert "lock" in shown["$repr"]
    assert len(dump_result("x" * 100_000)) < 2_000
    assert json.loads(dump_result("x" * 10, limit=5)) == {"$repr": repr("x" * 10)}
    assert "Awkward" in json.loads(dump_result(Awkward()))["$repr"]
    assert b"\n" not in dump_result("a\nb")


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


def test_errors_are_described_within_bounds() -> None:
    error = json.loads(describe_error(raised(ValueError("bad\ud800 " + "x" * 5000))))
    assert error["type"] == "ValueError"
    assert error["message"].startswith("bad\ud800 x")
    assert len(error["message"]) == 1000
    assert "test_registry" in error["traceback"] or error["traceback"][0] == "…"
    assert len(error["traceback"]) <= 4000
    rude = json.loads(describe_error(raised(RudeError())))
    assert rude["type"].endswith(".RudeError")
    assert "raised" in json.loads(describe_error(raised(KeyError("x"))))["traceback"]


def test_errors_have_their_names_with_and_without_module() -> None:
    names = error_names(RudeError())
    assert names[:2] == (f"{RudeError.__module__}.RudeError", "RudeError")
    assert names[-2:] == ("Exception", "BaseException")
    assert "object" not in names
    assert error_names(ConnectionResetError())[:3] == (
        "ConnectionResetError",
        "ConnectionError",
        "OSError",
    )


def test_a_method_without_its_object_is_refused_where_it_is_decorated() -> None:
    registry = Registry()

    class Box:
        async def empty(self) -> None:
            """Do nothing."""

        @staticmethod
        async def full(me: int = 1) -> None:
            """Take no object."""

    with pytest.raises(ConfigurationError, match="a method without its object") as said:
        registry.register(Box.empty)
    assert "box.empty" in str(said.value)
    assert len(registry) == 0
    assert registry.register(Box().empty).name == "empty"
    assert registry.register(Box.full).name == "full"

    async def alone(self: int = 1) -> None:
        """Be a function, whatever its parameter is called."""

    assert registry.register(alone).name == "alone"
