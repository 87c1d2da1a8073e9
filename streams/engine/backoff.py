"""How long to wait before trying again."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with jitter: `initial × factor^(attempt-1)`, at most `maximum` seconds, × U(1/2, 1).

    The jitter keeps a hundred workers from knocking at once on a store that has just come back.
    """

    initial: float = 0.1
    factor: float = 2.0
    maximum: float = 5.0
    rng: random.Random = field(default_factory=random.Random, compare=False)

    def delay(self, attempt: int) -> float:
        """Seconds to wait after failed attempt number `attempt` (1, 2, …)."""
        # The exponent is capped: after a day of retries a float overflow would kill the role.
        exact = self.initial * self.factor ** min(attempt - 1, 64)
        return min(self.maximum, exact) * self.rng.uniform(0.5, 1.0)
