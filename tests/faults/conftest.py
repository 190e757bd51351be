"""The servers and seeds of the crash tests, for the faults that we cause here."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.crash.conftest import binary, pytest_generate_tests, repeated, seed

__all__ = ["binary", "pytest_generate_tests", "seed"]

_HERE = Path(__file__).parent


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say how a failing scenario is repeated."""
    report = yield
    if report.failed and _HERE in item.path.parents:
        report.sections.append(("run this again with", repeated(item)))
    return report
