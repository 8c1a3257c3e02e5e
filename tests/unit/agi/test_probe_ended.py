from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from agi_apps.applications import probe_ended
from agi_apps.crm_client import CrmAway
from tests.unit.agi.stand_ins import Plans, ring_plan, services

if TYPE_CHECKING:
    from tests.unit.agi.stand_ins import Crm


class Told:
    """A CRM that keeps what it is told, or is away."""

    def __init__(self, *, away: bool = False) -> None:
        self.kept: list[dict[str, Any]] = []
        self._away = away

    def probe_ended(self, result: dict[str, Any]) -> None:
        if self._away:
            raise CrmAway("connection refused")
        self.kept.append(result)


def tell(*arguments: str, away: bool = False) -> list[dict[str, Any]]:
    crm = Told(away=away)
    assert probe_ended.run(arguments, services(Plans(ring_plan()), cast("Crm", crm))) == {}
    return crm.kept


def test_an_answered_probe_is_told_with_grade_and_network() -> None:
    assert tell("17", "2", "1790000000000", "900", "9", "0.0012", "0.020000", "", "") == [
        {"probe_id": 17, "grade": 2, "answered_at_ms": 1790000000000, "reason": None, "packets": 900,
         "packets_lost": 9, "jitter_us": 1200, "round_trip_us": 20000, "gave_way": False},
    ]  # fmt: skip


def test_one_that_was_not_answered_is_told_with_the_reason() -> None:
    (told,) = tell("17", "", "", "", "", "", "", "5", "")
    assert (told["answered_at_ms"], told["reason"], told["grade"]) == (None, 5, None)


def test_one_that_gave_way_to_a_visitor_says_so() -> None:
    (told,) = tell("17", "", "1790000000000", "900", "9", "0.0012", "0.02", "", "1")
    assert told["gave_way"]


@pytest.mark.parametrize(("grade", "jitter"), [("9", "nan"), ("#", "inf"), ("", "-1"), ("11", "x")])
def test_what_makes_no_sense_is_left_out(grade: str, jitter: str) -> None:
    (told,) = tell("17", grade, "1", "1", "1", jitter, "0", "", "")
    assert told["grade"] is None
    assert told["jitter_us"] in {None, 0}


def test_a_crm_that_is_away_and_a_probe_without_number_are_no_trouble() -> None:
    assert tell("17", "1", "1", "1", "1", "0", "0", "", "", away=True) == []
    assert tell("", "1", "1", "1", "1", "0", "0", "", "") == []
