"""The test that the how-to shows to pytest holds, for all of its seeds and calm."""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from aiosched.testing.simulated import over_seeds
from tests.docs.pages import DOCS, blocks


@pytest.mark.parametrize("calm", [False, True])
def test_the_test_of_the_how_to(*, calm: bool) -> None:
    page = (DOCS / "howto" / "simulate-a-cluster.md").read_text("utf-8")
    module = types.ModuleType("shown")
    first, shown = list(blocks(page))[:2]
    for block in (first, shown):
        exec(block.code, module.__dict__)
    test: Callable[..., Coroutine[Any, Any, object]]
    test = module.__dict__["test_nothing_is_lost"]
    (mark,) = test.pytestmark  # type: ignore[attr-defined]
    options = {**mark.kwargs, "seeds": 12}
    failed = over_seeds(test, **options, incidents="" if calm else None)
    assert failed is None, failed
