"""What an iPhone shows of a push by itself: Apple shows nothing of an alert without words."""

from __future__ import annotations

import pytest

from crm_api.domain.push_texts import Alert, alert_of


def test_a_call_from_inside_is_nobody_at_the_door() -> None:
    call = {"type": "call", "caller_name": "Concierge", "panel": "c1"}
    assert alert_of(call, "ru", from_panel=False) == Alert("Concierge", "Звонит вам")


@pytest.mark.parametrize(
    ("data", "language", "shown"),
    [
        ({"type": "call", "caller_name": "Lenina 1", "panel": "p"}, "en", Alert("Lenina 1", "Somebody is at the door")),
        ({"type": "message", "panel": "Gate", "house": "Lenina 1"}, "ru-RU",
         Alert("Gate, Lenina 1", "Посетитель оставил сообщение")),
        ({"type": "emergency_call", "panel": "Gate", "house": ""}, "kk", Alert("Gate", "A call to 112")),
        ({"type": "access_code", "text": "New code: 40719"}, "zh", Alert("", "New code: 40719")),
        ({"type": "cancel", "call_id": "c1"}, "en", None),
    ],
)  # fmt: skip
def test_an_alert_says_what_has_happened_and_where(data: dict[str, str], language: str, shown: Alert | None) -> None:
    assert alert_of(data, language) == shown
