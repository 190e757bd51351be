"""A store of the user's own: the example on SQLite keeps the whole contract."""

from __future__ import annotations

import asyncio
import io
import tokenize
from pathlib import Path

import pytest

from aiosched import Context, IntervalTrigger, Job, Scheduler
from aiosched.abc import JobStore
from aiosched.testing.contract import JobStoreContract
from examples.sqlite_store import SQLiteJobStore

pytestmark = pytest.mark.seed("S3-28")

_EXAMPLE = Path(__file__).parents[2] / "examples" / "sqlite_store.py"


class TestSQLiteJobStore(JobStoreContract):
    """Every promise of the port."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.path = str(tmp_path / "jobs.sqlite3")

    async def make_store(self) -> JobStore:
        return SQLiteJobStore(self.path)
