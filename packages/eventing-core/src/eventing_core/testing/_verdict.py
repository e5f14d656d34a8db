"""What a conformance test found."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Verdict(Enum):
    """What a test says of a behaviour, in the order of the table."""

    HOLDS = "holds"
    REFUSED = "refused"
    NOT_APPLICABLE = "not applicable"
    UNTRIED = "could not be tried"
    FAILED = "FAILED"


@dataclass(slots=True)
class Finding:
    """What one test found, as long as it doesn't fail.

    Attributes:
        verdict: `Verdict.HOLDS`, unless the test says otherwise.
        reasons: by which capabilities; or why it could not be tried.
        tried: the capabilities that were claimed, and that the test relied on.
    """

    verdict: Verdict = Verdict.HOLDS
    reasons: list[str] = field(default_factory=list)
    tried: set[str] = field(default_factory=set)

    def be_not_applicable(self, reason: str) -> None:
        """There is nothing to assert, for this reason."""
        self.verdict = Verdict.NOT_APPLICABLE
        self.reasons.append(reason)
