"""The program that type checkers read also does what it says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from aiosched import InvalidInputError
from tests.typing import api


def test_the_typed_program_runs() -> None:
    names = api.program()
    assert {"job_scheduled", "job_paused", "run_ended", "job_removed"} <= names


def test_its_triggers_fire() -> None:
    for trigger in api.triggers():
        (first,) = trigger.upcoming(1, api.NOON - timedelta(seconds=1))
        assert first >= api.NOON, trigger


def test_its_stores_can_be_built() -> None:
    assert len({type(store) for store in api.stores()}) == 2


@pytest.mark.parametrize("mistake", list(api.mistakes()))
def test_what_checkers_refuse_is_refused_at_run_time(
    mistake: Callable[[], object],
) -> None:
    with pytest.raises((InvalidInputError, AttributeError)):
        mistake()
