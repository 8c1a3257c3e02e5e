"""A CANCEL that tm may have missed is said again to it, once and a moment later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kemi_routes import dialogs, late_cancels

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from kemi_routes.pipeline import Request
    from tests.unit.kemi.fake_ksr import FakeKsr

    Make = Callable[[FakeKsr], Request]


def test_a_call_is_cancelled_again_when_both_workers_are_through(
    fake: FakeKsr, request_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ms = 1_000
    monkeypatch.setattr(late_cancels, "steady_ms", lambda: now_ms)
    again = late_cancels.LateCancels()
    fake.message.method = "CANCEL"
    fake.results["tm.t_check_trans"] = 1
    dialogs.pass_cancel(fake.ksr, request_of(fake))
    call_id = fake.message.call_id

    again.tick(fake.ksr)
    assert fake.called("tmx.t_cancel_callid") == []
    now_ms += late_cancels.AGAIN_MS
    again.tick(fake.ksr)
    again.tick(fake.ksr)
    assert fake.called("tmx.t_cancel_callid") == [(call_id, fake.message.cseq, 0)]


def test_what_is_not_there_to_be_cancelled_is_not_cancelled_again(fake: FakeKsr, request_of: Make) -> None:
    fake.message.method = "CANCEL"
    fake.results["tm.t_check_trans"] = -1
    dialogs.pass_cancel(fake.ksr, request_of(fake))
    assert not fake.queues[late_cancels.QUEUE]
