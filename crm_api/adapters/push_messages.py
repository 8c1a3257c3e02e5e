"""A short text to every device of an app's account, over the push services; waits for their answers."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Final

import httpx

from crm_api.adapters.messages import NotSentError
from crm_api.adapters.push_services.push import NO_CALL_ONLY, Push
from crm_api.domain.push_texts import alert_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from crm_api.adapters.push_services.push import PushService, Verdict

LASTS_MS: Final = 12 * 3_600_000
"""Nobody wants to hear of a new code later."""
ANSWER_S: Final = 20.0


class PushMessages:
    """Sends to devices that `devices` names for an account, as (platform, token)."""

    def __init__(
        self,
        services: Callable[[], Mapping[str, PushService]],
        devices: Callable[[str], Sequence[tuple[str, str]]],
        now_ms: Callable[[], int],
    ) -> None:
        self._devices = devices
        self._now_ms = now_ms
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="pushes", daemon=True)
        self._thread.start()
        self._services = services()

    def close(self) -> None:
        """Stop."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def send(self, address: str, text: str) -> None:
        """Send to an account; one device that takes it is enough.

        Raises:
            NotSentError: no device took it; final when none ever will.
        """
        reached = [(platform, token) for platform, token in self._devices(address) if platform in self._services]
        reached = [(platform, token) for platform, token in reached if platform != NO_CALL_ONLY]
        if not reached:
            raise NotSentError(f"no device of {address} takes messages", final=True)
        data = {"type": "access_code", "text": text}
        push = Push(data, self._now_ms() + LASTS_MS, alert_of(data, ""))
        sending = asyncio.run_coroutine_threadsafe(self._all(reached, push), self._loop)
        try:
            answers = sending.result(ANSWER_S)
        except TimeoutError as error:
            sending.cancel()
            raise NotSentError(f"no answer within {ANSWER_S:.0f} s", final=False) from error
        if any(answer is not None and answer.outcome == "accepted" for answer in answers):
            return
        reasons = "; ".join("not reached" if answer is None else answer.reason for answer in answers)
        final = all(answer is not None and answer.outcome != "try_again" for answer in answers)
        raise NotSentError(reasons or "refused", final=final)

    async def _all(self, devices: Sequence[tuple[str, str]], push: Push) -> list[Verdict | None]:
        return list(await asyncio.gather(*(self._one(*device, push) for device in devices)))

    async def _one(self, platform: str, token: str, push: Push) -> Verdict | None:
        try:
            return await self._services[platform].send(token, push)
        except httpx.HTTPError:
            return None
