"""A session that is watched is the session that it stands before."""

from __future__ import annotations

import inspect
from unittest.mock import create_autospec

import pytest

from aiosched._engine.observing import Contained, ObservedSession
from aiosched.abc import Counters, Session, Terms
from aiosched.clock import SystemClock

VERBS = sorted(
    name
    for name, member in vars(Session).items()
    if inspect.isfunction(member) and not name.startswith("_")
)


@pytest.mark.parametrize("name", VERBS)
async def test_every_verb_reaches_the_session_behind(name: str) -> None:
    inner = create_autospec(Session, instance=True)
    inner.terms, inner.counters, inner.spanning = Terms(), Counters(), True
    watched = ObservedSession(inner, SystemClock(), Contained(()))
    assert (watched.terms, watched.counters) == (inner.terms, inner.counters)
    assert watched.spanning is True
    verb = getattr(Session, name)
    parameters = list(inspect.signature(verb).parameters.values())[1:]
    positional = [object() for one in parameters if one.kind is not one.KEYWORD_ONLY]
    named = {one.name: object() for one in parameters if one.kind is one.KEYWORD_ONLY}
    if name == "transact":
        positional[0] = ["a"]
    answer = getattr(watched, name)(*positional, **named)
    told = getattr(inner, name)
    if inspect.isawaitable(answer):
        answer = await answer
    told.assert_called_once()
    args, kwargs = told.call_args
    bound = inspect.signature(verb).bind(inner, *args, **kwargs).arguments
    for place, given in zip(parameters, [*positional, *named.values()], strict=False):
        if place.name != "decide":  # which is looked at on its way
            assert bound[place.name] is given
    silent = inspect.signature(verb).return_annotation == "None"
    assert answer is (None if silent else told.return_value)
