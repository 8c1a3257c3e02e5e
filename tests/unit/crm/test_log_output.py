"""A log line that cannot be written disturbs nobody."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import structlog

from crm_api.log_output import log_output

if TYPE_CHECKING:
    from pathlib import Path


def _log(path: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        structlog.PrintLoggerFactory(file=log_output(descriptor))().msg("a line")
    finally:
        os.close(descriptor)


def test_a_line_is_written(tmp_path: Path) -> None:
    _log(str(tmp_path / "log"))
    assert (tmp_path / "log").read_text() == "a line\n"


def test_on_a_full_disk_it_is_lost() -> None:
    _log("/dev/full")
