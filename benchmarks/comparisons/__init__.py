"""One module for each row of the page: what is done, and what is read off."""

from benchmarks.comparisons import drain

ROWS = {module.NAME: module for module in (drain,)}
"""In the order of the page."""

__all__ = ["ROWS"]
