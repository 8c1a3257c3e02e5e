"""Devices that have no account at all call 112, so often as policy says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kemi_routes import digest, replies
from kemi_routes.pipeline import DONE, NEXT, Refusal
from tests.unit.kemi.steps import events

if TYPE_CHECKING:
    from kemi_routes.pipeline import Request
    from tests.unit.kemi.emergency_town import Make
    from tests.unit.kemi.fake_ksr import FakeKsr


def stranger(fake: FakeKsr, make: Make, per_minute: int, name: str = "nobody") -> tuple[object, Request]:
    fake.defines["EP_STRANGERS_PER_MINUTE"] = str(per_minute)
    fake.message.ruri, fake.message.from_user = "sip:112@entryphone.test", name
    request = make(fake)
    return digest.authenticate(fake.ksr, request), request


def test_a_device_without_account_is_served_so_often_as_policy_says(fake: FakeKsr, request_of: Make) -> None:
    assert stranger(fake, request_of, 0)[0] is DONE
    assert fake.replies == [(407, "challenge")]
    outcomes = [stranger(fake, request_of, 2) for _ in range(3)]
    assert [outcome for outcome, _ in outcomes] == [NEXT, NEXT, DONE]
    assert outcomes[0][1].kind == "stranger"
    assert fake.replies[-1][0] == 403
    fake.database = {"nobody": ("0" * 32, "panel", 1)}
    fake.tables["absent"].clear()
    assert stranger(fake, request_of, 9)[0] is DONE, "an account must prove itself"


def test_a_stranger_who_is_refused_is_told_as_no_panel(fake: FakeKsr, request_of: Make) -> None:
    _, request = stranger(fake, request_of, 9)
    assert request.account
    replies.refuse(fake.ksr, request, Refusal(480, "Nobody", "no way to a centre"))
    assert [event.get("panel") for event in events(fake)] == [None]


@pytest.mark.parametrize("bad", ["\udccf", "\0"])
def test_a_stranger_whose_name_is_no_text_is_served(fake: FakeKsr, request_of: Make, bad: str) -> None:
    assert stranger(fake, request_of, 9, bad)[0] is NEXT
