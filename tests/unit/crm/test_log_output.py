"""A log line that cannot be written disturbs nobody."""

from __future__ import annotations

import errno
import io
from typing import TYPE_CHECKING, TextIO

import pytest
import structlog

from crm_api.bootstrap import set_up_logging
from crm_api.config import CrmConfig
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


@pytest.mark.parametrize(
    "sent",
    ["a\nlevel=error", "a\rlevel=error", "a\x1b[2Jb", "a\x85b", "a\u2028b", "a\u2029b", "a\x9bb", "\x1b]0;x\x07",
     "a\u202eb", "a\x00b\x7f", "a\tb"],
)  # fmt: skip
def test_what_somebody_has_sent_begins_no_line_and_commands_no_terminal(
    sent: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written, before = io.StringIO(), structlog.get_config()
    monkeypatch.setattr("sys.stderr", written)
    try:
        set_up_logging(
            CrmConfig(
                database_url=f"sqlite:///{tmp_path}/crm.db",
                redis_url="redis://127.0.0.1:1",
                sip_domain="entryphone.test",
                encryption_key_file=tmp_path / "key",
            )
        )
        structlog.get_logger("test").error("fault", path=sent, name="Ürümqi 7")
    finally:
        structlog.configure(**before)
    line = written.getvalue()
    assert line.endswith("\n")
    assert line[:-1].isprintable()
    assert "Ürümqi 7" in line
    assert len(line.splitlines()) == 1
