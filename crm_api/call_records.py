"""`python -m crm_api.call_records --config <crm.json>`: writes call records from the stream of call events."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from crm_api.adapters.call_event_stream import CallEventStream
from crm_api.background import repeat, start, stop_on_signal
from crm_api.bootstrap import make_context
from crm_api.services.call_recording import CallRecording

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from crm_api.config import CrmConfig

BATCH: Final = 2000
BLOCK_MS: Final = 1000
PAUSE_S: Final = 0.25
BUSY_PAUSE_S: Final = 2.0
BUSY: Final = 20
"""After so many entries at once more are on their way: fuller batches cost less, and a record may wait two seconds."""


def recorder(stream: CallEventStream, recording: CallRecording, stopped: threading.Event) -> Callable[[], None]:
    """Return one pass: read a batch, write it in one transaction, then acknowledge it."""

    def work() -> None:
        try:
            entries = stream.read(BATCH, BLOCK_MS)
            if entries:
                recording.record(entries)
                stream.done([entry_id for entry_id, _ in entries])
            if BUSY <= len(entries) < BATCH:
                stopped.wait(BUSY_PAUSE_S - PAUSE_S)
        except Exception:
            stream.forget_progress()
            raise

    return work


def run(config: CrmConfig) -> None:
    """Record until SIGTERM."""
    context = make_context(config)
    stream = CallEventStream(config.redis_url, f"{socket.gethostname()}-records")
    stopped = stop_on_signal()
    repeat(recorder(stream, CallRecording(context), stopped), context.database, stopped, PAUSE_S)


if __name__ == "__main__":
    start("crm_api.call_records", run)
