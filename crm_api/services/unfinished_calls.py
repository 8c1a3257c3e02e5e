"""Calls whose end nobody told, as a server died during them, get one: every record ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from crm_api.domain.call_record import Event, story_of
from crm_api.services.call_recording import CallRecording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_api.services.context import Context

LOST: Final = "a server was lost during the call"
HOUR_MS: Final = 3_600_000
LONGEST_CALL_MS: Final = 6 * HOUR_MS
"""No call lasts as long: the longest talk that a company may allow is an hour, and 112 is no longer in practice."""
LOOK_BACK_MS: Final = 7 * 24 * HOUR_MS
BATCH: Final = 500
_OPEN: Final = (
    "SELECT call_id, panel, dialled, answered_by, started_at_ms, story, moves FROM call_records "
    "WHERE started_at_ms > ? AND started_at_ms < ? AND ended_at_ms IS NULL ORDER BY started_at_ms, id LIMIT ?"
)


class UnfinishedCalls:
    """Ends calls in the records, through the same door as every other end (so webhooks hear of it, too)."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._recording = CallRecording(context)

    def end(self) -> int:
        """End what has been open for too long; return how many calls.

        A call that somebody answered was `answered`, any other `failed`. It ended, as far as is known, with the last
        thing that was told of it.
        """
        now_ms = self._context.now_ms()
        window = (now_ms - LOOK_BACK_MS, now_ms - LONGEST_CALL_MS, BATCH)
        ended = 0
        before: object = None
        while (rows := self._context.database.rows(_OPEN, window)) and rows != before:
            self._recording.record([("unfinished", msgspec.json.encode([_end_of(row) for row in rows]))])
            ended += len(rows)
            before = rows  # what the records refuse (and the log names) comes again, and is left
        return ended


def _end_of(row: Sequence[object]) -> Event:
    call_id, panel, dialled, answered_by, started_at_ms, story, moves = row
    told = story_of(str(story or ""))
    return Event(
        "ended",
        str(call_id),
        told[-1]["at_ms"] if told else int(str(started_at_ms)),
        panel=None if panel is None else str(panel),
        dialled=None if dialled is None else str(dialled),
        result="failed" if answered_by is None else "answered",
        reason=LOST,
        moves=int(str(moves)),
    )
