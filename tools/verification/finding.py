"""What a probe found out."""

from dataclasses import dataclass, replace
from enum import StrEnum


class Outcome(StrEnum):
    HOLDS = "holds"
    FAILS = "does not hold"
    UNANSWERED = "not answered"


@dataclass(frozen=True)
class Finding:
    """Whether an assumption holds, and by which evidence; without an answer, why not."""

    outcome: Outcome
    evidence: str

    def by(self, stranger: str) -> "Finding":
        """The finding as it counts when `stranger` has answered in place of AWS ("": AWS did).

        Somebody else's good answer proves nothing; a bad one is worth knowing all the same.
        """
        if not stranger or self.outcome is not Outcome.HOLDS:
            return self
        return replace(
            self,
            outcome=Outcome.UNANSWERED,
            evidence=f"not answered here: {stranger}. As expected there: {self.evidence}",
        )


class UnansweredError(Exception):
    """The probe cannot be carried out; the text says why."""


def finding(holds: bool, evidence: str) -> Finding:
    return Finding(Outcome.HOLDS if holds else Outcome.FAILS, evidence)
