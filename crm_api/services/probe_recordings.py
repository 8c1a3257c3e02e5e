"""Recordings of probes: where they are, how long they are kept, and who has heard one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from crm_api.domain.problems import NotFoundError
from crm_api.services.audit import AuditTrail, Entry
from crm_api.services.context import Tenant, find
from crm_api.tables.probes import ProbeCall

if TYPE_CHECKING:
    from pathlib import Path

    from crm_api.services.context import Context

Side = Literal["both", "heard", "sent"]
KEPT_DAYS: Final = 90
"""Sound of people is kept no longer than it is needed."""
DAY_MS: Final = 86_400_000
_NOUN: Final = "recording of a probe"
_FILES: Final[dict[Side, str]] = {"both": "{}.wav", "heard": "{}-heard.wav", "sent": "{}-sent.wav"}


def kept_until_ms(call: ProbeCall) -> int | None:
    """Return until when a call's recording is kept; None: it has none."""
    if call.recording is None or call.ended_at_ms is None:
        return None
    return int(str(call.ended_at_ms)) + KEPT_DAYS * DAY_MS


class ProbeRecordings:
    """Gives recordings out, and writes down to whom.

    Args:
        context: database and clock.
        directory: where Asterisk puts them; None: no probes are made here.
    """

    def __init__(self, context: Context, directory: Path | None) -> None:
        self._context = context
        self._directory = directory
        self._trail = AuditTrail(context)

    def content(self, tenant: Tenant, key: int, side: Side) -> bytes:
        """Return a WAV file; that it was heard is in the audit log before anybody hears it.

        Raises:
            NotFoundError: no such call, or its recording is no longer (or was never) there.
        """
        call = find(tenant, ProbeCall, "probe call", key)
        until_ms = kept_until_ms(call)
        if self._directory is None or until_ms is None or until_ms <= self._context.now_ms():
            raise NotFoundError.of(_NOUN, key)
        try:
            content = (self._directory / _FILES[side].format(key)).read_bytes()
        except FileNotFoundError as error:
            raise NotFoundError.of(_NOUN, key) from error
        entry = Entry("probe call", str(key), "hear", None, {"side": side}, int(str(call.company_id)))
        with self._context.database.transaction():
            self._trail.write(tenant, [entry])
        return content


def remove_old(recordings: Path, now_ms: int) -> int:
    """Remove recordings of probes that are too old; return how many files."""
    oldest_s = (now_ms - KEPT_DAYS * DAY_MS) / 1000
    old = [file for file in recordings.glob("*.wav") if file.stat().st_mtime < oldest_s]
    for file in old:
        file.unlink(missing_ok=True)
    return len(old)
