"""What a push says, and what a push service answers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from crm_api.domain.push_texts import Alert

Outcome = Literal["accepted", "dead_token", "refused", "try_again"]
TRY_AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})
NO_CALL_ONLY: Final = "apns_voip"
"""A push of this kind must ring (Apple, PushKit): an app that takes it for anything else is ended and woken no more."""


SILENT_LASTS_MS: Final = 12 * 3_600_000
"""For so long a service keeps a silent push for a device that sleeps."""


@dataclass(frozen=True)
class Push:
    """A push to one device: `data` is what the app reads; nobody wants it after `expires_at_ms`."""

    data: Mapping[str, str]
    expires_at_ms: int
    alert: Alert | None = None
    """What the device shows by itself; None: nothing."""
    silent: bool = False
    """It makes no sound and wakes nobody: the device has it when it is awake."""

    @property
    def kept_until_ms(self) -> int:
        """Until when the service should try to reach the device, once it has taken the push."""
        return self.expires_at_ms + (SILENT_LASTS_MS if self.silent else 0)

    def seconds_left(self) -> int:
        """Return for how long the service should keep trying to reach the device."""
        return max(1, (self.kept_until_ms - time.time_ns() // 1_000_000) // 1000)


@dataclass(frozen=True)
class Verdict:
    """A service's answer: `dead_token` is never used again, `refused` is not to be repeated."""

    outcome: Outcome
    reason: str = ""
    after_s: float | None = None
    """How long the service asks to wait before the next try."""


class PushService(Protocol):
    """One push service."""

    async def send(self, token: str, push: Push) -> Verdict:
        """Send to a device; `httpx.HTTPError` when the service cannot be reached."""


ACCEPTED: Final = Verdict("accepted")


def try_again(response: httpx.Response, reason: str) -> Verdict:
    """Return the verdict of a service that cannot now."""
    after = response.headers.get("Retry-After", "")
    return Verdict("try_again", reason, float(after) if after.isdigit() else None)


def json_of(response: httpx.Response) -> dict[str, object]:
    """Return the answer's JSON object; {} when it is none."""
    try:
        decoded = response.json()
    except ValueError:
        return {}
    return decoded if isinstance(decoded, dict) else {}
