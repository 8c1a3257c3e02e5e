"""What the processes of the FastAGI server share."""

from __future__ import annotations

import os
import signal
import time

from agi_apps.prefork import Beats


def test_a_beat_is_never_seen_half_written() -> None:
    began_s = time.monotonic()
    beats = Beats(2)
    beats.write(1, began_s)
    writer = os.fork()
    if not writer:
        while True:
            beats.write(1, time.monotonic())
    try:
        seen: set[float] = set()
        while time.monotonic() < began_s + 1:
            seen.update(beats.read(1) for _ in range(1000))
    finally:
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
    assert len(seen) > 1, "the other process wrote nothing"
    assert began_s <= min(seen)
    assert max(seen) <= time.monotonic()
    assert beats.read(0) == 0.0
