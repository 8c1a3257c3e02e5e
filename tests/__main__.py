"""Runs every test in two sessions at once: the stories with servers, and beside them what needs none of those servers.

A story waits most of the time, for a phone that rings or a server that is killed; what the processor has left goes to
the other session. Its output comes when both are through. Words of the command line go to pytest, to both.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from typing import IO

BESIDE = (
    "tests/contract",
    "tests/unit",
    "tests/integration/test_bench_crm.py",
    "tests/integration/test_code_renewal_killed.py",
    "tests/integration/test_crm_on_postgres.py",
    "tests/integration/test_jobs_worker.py",
)
"""What uses neither the session's servers nor their addresses."""
_NICENESS = 10
_LONGEST = "--timeout=600"
"""What takes seconds alone may take minutes with what is left of the processor."""
_NOTHING_COLLECTED = 5
"""pytest's exit code, as with `-k` for tests of one of the sessions."""
_TIMEOUT_S = 44 * 60
_INTERRUPTED = 130


def main(options: list[str]) -> int:
    """Run both sessions; the exit code is 0 when neither has failed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    pytest = [sys.executable, "-m", "pytest"]
    stories = [*pytest, "tests", *(f"--ignore={path}" for path in BESIDE), *options]
    others = [*pytest, *BESIDE, "--numprocesses=2", "--dist=loadfile", _LONGEST, "-p", "no:cacheprovider", *options]
    with tempfile.TemporaryFile() as output:
        sessions = [
            subprocess.Popen(others, stdout=output, stderr=output, preexec_fn=lambda: os.nice(_NICENESS)),  # noqa: PLW1509 - no threads yet
            subprocess.Popen(stories),
        ]
        try:
            codes = [session.wait(_TIMEOUT_S) for session in reversed(sessions)]
        except (KeyboardInterrupt, subprocess.TimeoutExpired) as error:
            _end(sessions)
            sys.stderr.write(f"tests: ended early: {error!r}\n")
            codes = [_INTERRUPTED]
        _print(output)
    return max(0 if code == _NOTHING_COLLECTED and len(codes) > 1 else abs(code) for code in codes)


def _end(sessions: list[subprocess.Popen[bytes]]) -> None:
    """Let both end what they have started."""
    for session in sessions:
        with suppress(ProcessLookupError):
            session.send_signal(signal.SIGTERM)
    for session in sessions:
        session.wait()


def _print(output: IO[bytes]) -> None:
    output.seek(0)
    sys.stdout.write("\n== beside them: the tests that need none of those servers\n")
    sys.stdout.flush()
    sys.stdout.buffer.write(output.read())
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
