"""The ladder prints each step once, in milliseconds since the first."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from lab.demo import DemoError, choose_household, tell_record, tell_what_next
from lab.ladder import Ladder
from lab.peers.message import told_elsewhere
from lab.peers.town import Town, read_town

if TYPE_CHECKING:
    from pathlib import Path


def test_a_step_is_told_in_milliseconds_since_the_visitor_pressed() -> None:
    out = io.StringIO()
    ladder = Ladder(began_s=100.0, out=out)
    step = ladder.step("Entrance 1", "hears that it rings", at_s=100.0834)
    assert (step.after_ms, step.who, step.what) == (83, "Entrance 1", "hears that it rings")
    assert out.getvalue().split() == ["83", "ms", "Entrance", "1", "hears", "that", "it", "rings"]
    assert ladder.steps == [step]


def test_a_step_without_a_time_happens_now() -> None:
    ladder = Ladder(out=io.StringIO())
    assert 0 <= ladder.step("a", "b").after_ms < 1000


def test_a_step_told_by_another_clock_is_never_before_the_first() -> None:
    assert Ladder(began_s=100.0, out=io.StringIO()).step("a", "b", at_s=99.99).after_ms == 0


def test_columns_stand_below_one_another() -> None:
    out = io.StringIO()
    ladder = Ladder(began_s=0.0, out=out)
    ladder.step("short", "WHAT", at_s=0.001)
    ladder.step("a much longer name", "WHAT", at_s=12.5)
    assert len({line.index("WHAT") for line in out.getvalue().splitlines()}) == 1


@pytest.mark.parametrize(
    ("reason", "elsewhere"),
    [
        ('SIP;cause=200;text="Call completed elsewhere"', True),
        ("Q.850 ;cause=26", True),
        ("SIP ;cause=487", False),
        ("", False),
    ],
)
def test_answered_elsewhere_is_read_from_the_reason(reason: str, elsewhere: bool) -> None:
    assert told_elsewhere(reason) is elsewhere


def _town(tmp_path: Path, *, accounts: int = 3, method: str = "dtmf") -> Town:
    told: dict[str, Any] = {
        "sip": {"address": "127.0.0.10:5060", "domain": "entryphone.test"},
        "api": {"url": "http://127.0.0.50:8080", "operator_token": "token-1"},
        "panels": [
            {
                "name": "Entrance 1", "account": "p1", "password": "panel-password", "door_code": "1",
                "address": "127.0.1.1", "relay_url": None, "method": method, "reaches": ["12"],
            }
        ],
        "apartments": [
            {
                "house": "Lenina 1", "entrance": 1, "number": 12, "dial": {"p1": "12"}, "note": "family",
                "accounts": [
                    {"account": f"a{index}", "password": f"password-{index}", "kind": "app", "address": "127.0.2.1"}
                    for index in range(accounts)
                ],
            }
        ],
    }  # fmt: skip
    path = tmp_path / "town.json"
    path.write_text(json.dumps(told))
    return read_town(path)


def test_the_household_of_the_demo_has_three_accounts_and_a_door_with_a_code(tmp_path: Path) -> None:
    apartment, panel, number = choose_household(_town(tmp_path))
    assert (apartment.number, panel.credentials.username, number) == ("12", "p1", "12")


@pytest.mark.parametrize("lacking", [{"accounts": 2}, {"method": "http"}])
def test_a_town_without_such_a_household_is_an_error_that_says_so(tmp_path: Path, lacking: dict[str, Any]) -> None:
    with pytest.raises(DemoError, match="no apartment with 3 accounts"):
        choose_household(_town(tmp_path, **lacking))


def test_what_to_try_next_has_every_address_and_password_it_speaks_of(tmp_path: Path) -> None:
    text = tell_what_next(_town(tmp_path), "call-1")
    for part in ("a0", "password-0", "p1", "panel-password", "127.0.0.10:5060", "entryphone.test", "dial 12"):
        assert part in text
    assert "Bearer token-1' http://127.0.0.50:8080/v1/calls/call-1" in text
    for command in ("make status", "make logs", "make down", "town.json"):
        assert command in text


def test_the_record_is_told_in_lines() -> None:
    record = {
        "result": "answered", "answered_by": "a0", "talk_ms": 1500, "plan_source": "crm",
        "branches": [{"account": "a0", "outcome": "answered"}, {"account": "a1", "outcome": "cancelled"}],
        "access_records": [{"account": "a0", "key": "#", "result": "sent", "method": "dtmf"}],
    }  # fmt: skip
    assert tell_record(record) == [
        "result answered, answered_by a0, talk_ms 1500, plan_source crm",
        "a0: answered",
        "a1: cancelled",
        "a0 pressed #: sent by dtmf",
    ]
