"""``python -m aiosched``: the same as the ``aiosched`` command."""

from __future__ import annotations

import sys

from aiosched.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
