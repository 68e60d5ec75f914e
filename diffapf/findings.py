"""What a check has found: how bad it is, what was found, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

OK, NOTE, WARNING, ERROR = LEVELS = ("ok", "note", "warning", "error")


@dataclass(frozen=True)
class Finding:
    """One check's finding.

    Attributes:
        check: what was looked at, in a word: "clipping".
        level: "ok"; "note", which is dealt with; "warning", with which a model may be bad; "error", with which none is made.
        cause: what was found, as a sentence without its full stop.
        advice: what to do about it, likewise; empty where there is nothing to do.
    """

    check: str
    level: str
    cause: str
    advice: str = ""

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise ValueError(f"level must be one of {', '.join(LEVELS)}, got {self.level!r}")

    @property
    def sentence(self) -> str:
        return f"{self.cause}; {self.advice}" if self.advice else self.cause


def sentences(findings: Iterable[Finding], *levels: str) -> list[str]:
    """Those of some levels, in words.

    >>> sentences([Finding("hum", "ok", "no hum"), Finding("drift", "note", "it drifts", "do not mind")], "note")
    ['it drifts; do not mind']
    """
    return [finding.sentence for finding in findings if finding.level in levels]
