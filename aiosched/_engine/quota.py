"""How many lines of one kind the log gets in a while."""

from __future__ import annotations

import math

__all__ = ["Quota"]


class Quota:
    """Lets so many through in a span that begins with the first of them.

    Attributes:
        most: How many are let through.
        span: In seconds.
    """

    def __init__(self, most: int, span: float) -> None:
        """Begin with none."""
        self.most = most
        self.span = span
        self._since = -math.inf
        self._count = 0

    def beyond(self, now: float) -> int:
        """Count one more, and return by how many there are too many now.

        Args:
            now: In seconds, on any clock; where it is set back, a span begins.

        Returns:
            0: it is let through. 1: it is the first that is not.
        """
        if not 0 <= now - self._since < self.span:
            self._since, self._count = now, 0
        self._count += 1
        return max(self._count - self.most, 0)
