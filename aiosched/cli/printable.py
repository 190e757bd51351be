"""What others wrote, on a terminal: errors, notes and ids hold any characters."""

from __future__ import annotations

__all__ = ["printable"]


def printable(text: str) -> str:
    r"""Write characters that a terminal would act on as escapes, such as ``\x1b``.

    These are control characters, line breaks, marks of direction and halves of
    characters; what can be seen stays as it is.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode()
        for char in text
    )
