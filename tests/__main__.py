"""Runs every test in two sessions at once: the stories with servers, and beside them what needs none of those servers.

A story waits most of the time, for a phone that rings or a server that is killed; what the processor has left goes to
the other session. Its output comes when both are through. Words of the command line go to pytest, to both.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress

from lab.interruption import end_like_ctrl_c

BESIDE = (
    "tests/contract",
    "tests/unit",
    "tests/integration/test_bench_crm.py",
    "tests/integration/test_code_renewal_killed.py",
    "tests/integration/test_crm_on_postgres.py",
    "tests/integration/test_jobs_worker.py",
)
"""What uses neither the session's servers nor their addresses."""
_NICE = ("nice", "-n", "10")
_LONGEST = "--timeout=600"
"""What takes seconds alone may take minutes with what is left of the processor."""
_NOTHING_COLLECTED = 5
_LIMIT_S = 44 * 60
_INTERRUPTED = 130


def main(options: list[str]) -> int:
    """Run both sessions; the exit code is 0 when neither has failed."""
    end_like_ctrl_c()
    pytest = (sys.executable, "-m", "pytest")
    stories = [*pytest, "tests", *(f"--ignore={path}" for path in BESIDE), *options]
    beside = [*_NICE, *pytest, *BESIDE, "--numprocesses=2", "--dist=loadfile", _LONGEST, "-p", "no:cacheprovider"]
    with tempfile.TemporaryFile() as output:
        sessions = [subprocess.Popen(stories), subprocess.Popen([*beside, *options], stdout=output, stderr=output)]
        until_s = time.monotonic() + _LIMIT_S
        try:
            codes = [session.wait(until_s - time.monotonic()) for session in sessions]
        except (KeyboardInterrupt, subprocess.TimeoutExpired) as error:
            sys.stderr.write(f"tests: ended early: {error!r}\n")
            _end(sessions)
            codes = [_INTERRUPTED]
        output.seek(0)
        sys.stdout.write("\n== beside them: the tests that need none of those servers\n")
        sys.stdout.flush()
        sys.stdout.buffer.write(output.read())
        sys.stdout.buffer.flush()
    return exit_code(codes)


def exit_code(codes: list[int]) -> int:
    """What both together come to: with `-k` one of them may well have no test, but not both."""
    told = [code for code in codes if code != _NOTHING_COLLECTED] or codes
    return next((abs(code) for code in told if code), 0)


def _end(sessions: list[subprocess.Popen[bytes]]) -> None:
    """Let both end what they have started."""
    for session in sessions:
        with suppress(ProcessLookupError):
            session.send_signal(signal.SIGTERM)
    for session in sessions:
        session.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
