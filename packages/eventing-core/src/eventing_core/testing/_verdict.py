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
    """

    verdict: Verdict = Verdict.HOLDS
    reasons: list[str] = field(default_factory=list)
