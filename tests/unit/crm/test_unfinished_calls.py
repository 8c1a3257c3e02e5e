"""Calls whose end nobody has told get one after the longest time that a call lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from crm_api.services import unfinished_calls
from crm_api.services.call_recording import CallRecording
from crm_api.services.unfinished_calls import LONGEST_CALL_MS, LOST, UnfinishedCalls
from tests.unit.crm.test_call_records import T, entry, story, words_about_an_end

if TYPE_CHECKING:
    from crm_api.services.context import Context
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Clock


@pytest.fixture
def recording(context: Context) -> CallRecording:
    return CallRecording(context)


def test_a_call_whose_end_nobody_told_gets_one(
    recording: CallRecording, context: Context, clock: Clock, database: CrmDatabase
) -> None:
    clock.now = T + 60_000
    recording.record([entry(1, [*story("lost")[:8], *story("rung")[:5], *story("whole")])])
    unfinished = UnfinishedCalls(context)
    assert unfinished.end() == 0  # somebody may still be talking
    clock.now = T + LONGEST_CALL_MS + 1
    assert unfinished.end() == 2
    assert unfinished.end() == 0
    known = "SELECT call_id, result, reason, answered_by, ended_at_ms, talk_ms FROM call_records ORDER BY call_id"
    assert database.rows(known) == [
        ("lost", "answered", LOST, "a12", T + 3001, None),
        ("rung", "failed", LOST, None, T + 20, None),
        ("whole", "answered", None, "a12", T + 9000, 6000),
    ]


def test_a_call_that_moved_and_whose_end_nobody_told_gets_one(
    recording: CallRecording, context: Context, clock: Clock, database: CrmDatabase
) -> None:
    clock.now = T + LONGEST_CALL_MS + 10_000
    words = words_about_an_end("c1")
    recording.record([entry(1, [story("c1")[0], words[4], words[11]])])
    assert UnfinishedCalls(context).end() == 1
    assert database.rows("SELECT result, reason FROM call_records") == [("failed", LOST)]


def test_more_calls_than_a_batch_get_their_end(
    recording: CallRecording, context: Context, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unfinished_calls, "BATCH", 2)
    recording.record([entry(1, [event for number in range(5) for event in story(f"lost-{number}")[:3]])])
    clock.now = T + LONGEST_CALL_MS + 1
    assert UnfinishedCalls(context).end() == 5
    assert UnfinishedCalls(context).end() == 0
