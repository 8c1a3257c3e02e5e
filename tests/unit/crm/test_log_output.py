"""A log line that cannot be written disturbs nobody."""

from __future__ import annotations

import errno
import io
from typing import TYPE_CHECKING, TextIO

import structlog

from crm_api.log_output import log_output

if TYPE_CHECKING:
    from pathlib import Path


def _log(stream: TextIO) -> None:
    structlog.PrintLoggerFactory(file=log_output(stream))().msg("a line")


def test_a_line_is_written(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w", encoding="utf-8") as stream:
        _log(stream)
        assert (tmp_path / "log").read_text(encoding="utf-8") == "a line\n"


class _Full(io.StringIO):
    def write(self, text: str, /) -> int:
        raise OSError(errno.ENOSPC, text)


def test_on_a_full_disk_it_is_lost() -> None:
    _log(_Full())
