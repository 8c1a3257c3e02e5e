"""`python -m crm_api.voice_calls --config <crm.json>`: has Twilio's voice API call phones, and ends their calls."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from crm_api.adapters.twilio_voice import TwilioVoice
from crm_api.adapters.voice_stream import VoiceStream
from crm_api.background import repeat, start, stop_on_signal
from crm_api.bootstrap import make_context
from crm_api.services.voice_calls import VoiceCalls, VoiceWish
from crm_api.tables.database import DatabaseErrors, reason_of

if TYPE_CHECKING:
    from crm_api.config import CrmConfig
    from crm_api.services.context import Context

BLOCK_MS: Final = 1000
MOST_AT_ONCE: Final = 32
"""Calls that are being placed or ended; further ones wait, and are left out when they are late."""
COUNT_EVERY_S: Final = 30.0
FORGET_EVERY_S: Final = 3600.0
_log = structlog.get_logger("crm_api.voice_calls")
_wish = msgspec.json.Decoder(VoiceWish)


class VoiceWorker:
    """Takes wishes from the stream; each is done in a thread, as it waits for the voice API."""

    def __init__(self, context: Context, stream: VoiceStream, calls: VoiceCalls) -> None:
        self._context = context
        self._stream = stream
        self._calls = calls
        self._threads = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="voice")
        self._count_at_s = 0.0
        self._forget_at_s = 0.0

    def work(self) -> None:
        """Take the wishes that are there."""
        for body, age_ms in self._stream.wishes(BLOCK_MS):
            try:
                wish = _wish.decode(body)
            except (msgspec.DecodeError, msgspec.ValidationError) as error:
                _log.error("wish left out", reason=str(error), body=body[:200])
                continue
            self._threads.submit(self._do, wish, time.monotonic() - age_ms / 1000)
        if time.monotonic() >= self._count_at_s:
            self._count_at_s = time.monotonic() + COUNT_EVERY_S
            self._calls.count()
        if time.monotonic() >= self._forget_at_s:
            self._forget_at_s = time.monotonic() + FORGET_EVERY_S
            self._calls.forget()

    def close(self) -> None:
        """Finish what is on its way."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _do(self, wish: VoiceWish, wished_s: float) -> None:
        """Do a wish of that moment, by the monotonic clock."""
        try:
            self._calls.do(wish, int((time.monotonic() - wished_s) * 1000))
        except DatabaseErrors as error:  # the proxy hears nothing and lets its leg go on
            _log.error("wish not done", call_id=wish.call_id, reason=reason_of(error))
        except Exception:  # noqa: BLE001 - the one error boundary of a thread
            _log.exception("wish not done", call_id=wish.call_id, thread=threading.current_thread().name)
        finally:
            self._context.database.forget_connection()


def run(config: CrmConfig) -> None:
    """Call until SIGTERM."""
    context = make_context(config)
    stream = VoiceStream(config.redis_url, f"{socket.gethostname()}-voice")
    worker = VoiceWorker(context, stream, VoiceCalls(context, TwilioVoice(config.twilio_api_url), config.public_url))
    if not config.public_url or config.twilio_sip_address is None:
        _log.info("public_url or twilio_sip_address is not set: phones that Twilio is to call will not be joined")
    try:
        repeat(worker.work, context.database, stop_on_signal(), 0.0)
    finally:
        worker.close()


if __name__ == "__main__":
    start("crm_api.voice_calls", run)
