"""What a verification may cost at most."""

import time
from dataclasses import dataclass, field

from tools.prices import usd

# Redshift Serverless bills at least this long for each time it wakes up.
LEAST_SECONDS = 60


class SpentError(RuntimeError):
    """The budget does not allow it; the text says which part of it is spent."""


@dataclass
class Budget:
    """Limits, and what was spent of them.

    `capacity` is the warehouse's size in RPU, 0 where its seconds are not billed. The warehouse
    counts as awake from the first statement on.
    """

    capacity: int
    max_rpu_seconds: int
    max_statements: int
    max_transitions: int
    statements: int = 0
    transitions: int = 0
    awake_since: float | None = field(default=None, repr=False)

    @property
    def rpu_seconds(self) -> float:
        if self.awake_since is None:
            return 0.0
        return self.capacity * max(LEAST_SECONDS, time.monotonic() - self.awake_since)

    @property
    def price(self) -> float:
        """What was spent, in USD."""
        rpu_hours = self.rpu_seconds / 3600
        return rpu_hours * usd("redshift_rpu_hour") + self.transitions * usd(
            "step_functions_transition"
        )

    @property
    def max_price(self) -> float:
        """What all of it would cost, in USD."""
        rpu_seconds = self.max_rpu_seconds if self.capacity else 0
        return rpu_seconds / 3600 * usd("redshift_rpu_hour") + self.max_transitions * usd(
            "step_functions_transition"
        )

    def take_statement(self) -> None:
        """Raises SpentError."""
        if self.statements >= self.max_statements:
            raise SpentError(f"the budget of {self.max_statements} statements is spent")
        self.check_warehouse()
        self.statements += 1
        self.awake_since = self.awake_since or time.monotonic()

    def check_warehouse(self) -> None:
        """To be called while a statement is waited for. Raises SpentError."""
        if self.rpu_seconds > self.max_rpu_seconds:
            raise SpentError(f"the budget of {self.max_rpu_seconds:,} RPU-seconds is spent")

    def take_transitions(self, count: int) -> None:
        """Raises SpentError, and takes none then."""
        if self.transitions + count > self.max_transitions:
            raise SpentError(f"the budget of {self.max_transitions} transitions is spent")
        self.transitions += count

    def told(self) -> str:
        """What was spent, in words."""
        return (
            f"{self.statements} statements, {self.rpu_seconds:,.0f} RPU-seconds, "
            f"{self.transitions} transitions: about {self.price:.2f} USD"
        )
