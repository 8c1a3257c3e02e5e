from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest

from crm_api.adapters import push_messages
from crm_api.adapters.messages import NotSentError
from crm_api.adapters.push_messages import PushMessages
from crm_api.adapters.push_services.push import Push, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence


class FakeService:
    """Answers by token: a word of `Outcome`, or `away`."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    async def send(self, token: str, push: Push) -> Verdict:
        if token == "away":
            raise httpx.ConnectError("refused")
        self.sent.append((token, push.data["text"]))
        return Verdict(token, token)  # type: ignore[arg-type]


def tried(devices: Sequence[tuple[str, str]]) -> tuple[FakeService, NotSentError | None]:
    service = FakeService()
    messages = PushMessages(lambda: {"fcm": service, "apns_voip": service}, lambda _: devices, lambda: 0)
    try:
        messages.send("a12", "New code")
    except NotSentError as error:
        return service, error
    finally:
        messages.close()
    return service, None


def test_every_device_is_told_and_one_is_enough() -> None:
    service, error = tried([("fcm", "accepted"), ("fcm", "dead_token"), ("fcm", "away")])
    assert error is None
    assert service.sent == [("accepted", "New code"), ("dead_token", "New code")]


@pytest.mark.parametrize(
    ("devices", "final"),
    [
        ([("fcm", "try_again"), ("fcm", "dead_token")], False),
        ([("fcm", "away")], False),
        ([("fcm", "refused")], True),
        ([("apns_voip", "accepted")], True),
        ([("hms", "accepted")], True),
        ([], True),
    ],
)
def test_what_no_device_took(devices: Sequence[tuple[str, str]], final: bool) -> None:
    _, error = tried(devices)
    assert error is not None
    assert error.final is final


def test_a_service_that_never_answers_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_messages, "ANSWER_S", 0.05)

    class Hanging:
        async def send(self, _token: str, _push: Push) -> Verdict:
            await asyncio.Event().wait()
            raise AssertionError

    messages = PushMessages(lambda: {"fcm": Hanging()}, lambda _: [("fcm", "t")], lambda: 0)
    try:
        with pytest.raises(NotSentError) as raised:
            messages.send("a12", "New code")
    finally:
        messages.close()
    assert not raised.value.final
