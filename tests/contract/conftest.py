"""Let pytest explain the plain asserts of the shipped contract."""

from __future__ import annotations

import pytest

_PARTS = ("base", "index", "ledger", "peers", "races", "signals", "transact")

pytest.register_assert_rewrite(*(f"aiosched.testing.contract_{p}" for p in _PARTS))
