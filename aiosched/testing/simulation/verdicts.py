"""The names of the rules that the judge sees to, beside those of single writes."""

from __future__ import annotations

from aiosched.testing.simulation.rules import RULES, Rule

__all__ = [
    "ABANDONED",
    "ANSWERED",
    "BOOKS",
    "ENTERED",
    "HEALTH",
    "LAPSED",
    "LOSS",
    "OUTCOME",
    "PROMPT",
    "REACHED",
    "SIGNALS",
    "STOPPED",
    "TIMEOUT",
    "TWICE",
]


def _told(name: str, text: str) -> str:
    RULES[name] = Rule(name, text)
    return name


SIGNALS = _told(
    "signals",
    "What others have to hear of is published in the transaction that writes it, "
    "and nothing else is.",
)
ENTERED = _told(
    "entered",
    "An executor is entered once for a claim, by the peer that has it, while its "
    "lease lasts.",
)
TWICE = _told(
    "twice",
    "What may not run twice enters its executor once, whatever becomes of its peer.",
)
OUTCOME = _told(
    "outcome",
    "The outcome of an attempt tells how its execution ended, and there was one.",
)
ABANDONED = _told(
    "abandoned",
    "A run is lost only where its peer is dead or was kept from working just before.",
)
LAPSED = _told(
    "lapsed", "A peer that has not beaten for a member timeout claims nothing."
)
STOPPED = _told(
    "stopped",
    "A run that is to stop is told so within a third of a lease, while all is well.",
)
TIMEOUT = _told("timeout", "A run ends, or is told to, when its timeout is over.")
REACHED = _told(
    "reached", "A fire reaches every job that listens to its keyword meanwhile."
)
PROMPT = _told(
    "prompt",
    "What is due is looked at at once, save for as long as something is wrong: "
    "then within a lease, the steal delays and a beat after it is well again.",
)
ANSWERED = _told(
    "answered", "A verb that was answered is in the store, and happened once."
)
BOOKS = _told(
    "books", "The ledger has the rows that were committed, each once, and no others."
)
LOSS = _told(
    "loss",
    "Within a beat of losing data every peer says so, and what its code declares "
    "is scheduled again.",
)
HEALTH = _told(
    "health",
    "After the last incident every peer is well, no service has failed, and "
    "nothing of a peer outlives its shutdown.",
)
