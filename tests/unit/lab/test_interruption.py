"""TERM and HUP let a command clear away what it has started, as Ctrl-C does."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, signal, sys
from lab.interruption import end_like_ctrl_c
signal.signal(signal.SIGINT, getattr(signal, sys.argv[1]))
if sys.argv[2:]:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
end_like_ctrl_c()
async def play():
    try:
        print("plays", flush=True)
        await asyncio.sleep(60)
    finally:
        print("clears", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        print("cleared", flush=True)
try:
    asyncio.run(play())
except KeyboardInterrupt:
    print("ends", flush=True)
"""


def program(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        # HUP as a terminal leaves it, also when the tests themselves run under nohup(1).
        ["env", "--default-signal=HUP", sys.executable, "-c", PROGRAM, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("interrupts", ["default_int_handler", "SIG_IGN"])
def test_it_is_cleared_away_also_when_told_more_than_once(number: signal.Signals, interrupts: str) -> None:
    with program(interrupts) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "plays\n"
        process.send_signal(number)
        assert process.stdout.readline() == "clears\n"
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGHUP)
        told, _ = process.communicate("go on\n", timeout=60)
    assert (told, process.returncode) == ("cleared\nends\n", 0)


def test_what_nohup_has_a_command_ignore_stays_ignored() -> None:
    with program("default_int_handler", "nohup") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "plays\n"
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.send_signal(signal.SIGTERM)
        told, _ = process.communicate("go on\n", timeout=60)
    assert told == "clears\ncleared\nends\n"
