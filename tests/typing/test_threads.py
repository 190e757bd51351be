"""The program of threads that type checkers read also does what it says."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.typing import threads


def test_the_typed_program_runs() -> None:
    assert threads.program() == "ANN"


@pytest.mark.parametrize("mistake", list(threads.mistakes()))
def test_what_checkers_refuse_is_refused_at_run_time(
    mistake: Callable[[], object],
) -> None:
    with pytest.raises((ValueError, TypeError)):
        mistake()
