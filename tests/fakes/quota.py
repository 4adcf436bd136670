"""The disk's limit, said by the test."""

from __future__ import annotations

import dataclasses

from production import clock, errors
from production.transfer import base


@dataclasses.dataclass
class FakeQuota:
    """Read in no time."""

    clock: clock.Clock
    used: int = 0
    limit: int = 10**12
    trouble: str = ""
    """Why it can't be read."""
    renewed: int = 0
    """How often somebody waited for room."""

    def reading(self) -> base.Reading:
        if self.trouble:
            raise errors.QuotaUnread(self.trouble)
        return base.Reading(self.used, self.limit, self.clock.now())

    def renew(self) -> None:
        self.renewed += 1

    def close(self) -> None: ...
