"""Quiet hours of accounts, residents one by one, households of phones alone."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from crm_api.domain.quiet_hours import windows

if TYPE_CHECKING:
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Clock, Town

MOSCOW = ZoneInfo("Europe/Moscow")
BERLIN = ZoneInfo("Europe/Berlin")


def ms(text: str, zone: ZoneInfo) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


def names(plan: dict[str, Any]) -> list[list[str]]:
    return [[target["account"] for target in stage["targets"]] for stage in plan["stages"]]


def test_quiet_hours_over_midnight_are_windows_of_two_days() -> None:
    found = windows(22 * 60 + 30, 7 * 60, "Europe/Moscow", ms("2026-11-20T12:00", MOSCOW))
    assert found == [
        (ms("2026-11-20T22:30", MOSCOW), ms("2026-11-21T07:00", MOSCOW)),
        (ms("2026-11-21T22:30", MOSCOW), ms("2026-11-22T07:00", MOSCOW)),
        (ms("2026-11-22T22:30", MOSCOW), ms("2026-11-23T07:00", MOSCOW)),
    ]


def test_a_window_that_has_begun_yesterday_counts() -> None:
    found = windows(22 * 60, 7 * 60, "Europe/Moscow", ms("2026-11-20T06:59", MOSCOW))
    assert found[0] == (ms("2026-11-19T22:00", MOSCOW), ms("2026-11-20T07:00", MOSCOW))


def test_when_clocks_are_put_back_the_local_hour_counts() -> None:
    (night, *_) = windows(22 * 60, 7 * 60, "Europe/Berlin", ms("2026-10-24T12:00", BERLIN))
    assert night == (ms("2026-10-24T22:00", BERLIN), ms("2026-10-25T07:00", BERLIN))
    assert night[1] - night[0] == 10 * 3_600_000  # nine hours by the clock, ten by the sun


@pytest.mark.parametrize(
    ("hours", "noon", "begin", "end"),
    [
        ((150, 420), "2026-03-28", "2026-03-29T01:00", "2026-03-29T05:00"),  # 02:30 is left out: from 03:00
        ((1320, 150), "2026-03-28", "2026-03-28T21:00", "2026-03-29T01:00"),
        ((150, 420), "2026-10-24", "2026-10-25T00:30", "2026-10-25T06:00"),  # 02:30 comes twice
        ((1320, 150), "2026-10-24", "2026-10-24T20:00", "2026-10-25T01:30"),
    ],
)
def test_hours_that_begin_or_end_when_clocks_are_changed_are_quiet_for_as_long_as_the_clock_says(
    hours: tuple[int, int], noon: str, begin: str, end: str
) -> None:
    (night, *_) = windows(*hours, "Europe/Berlin", ms(f"{noon}T12:00", BERLIN))
    assert night == (ms(begin, ZoneInfo("UTC")), ms(end, ZoneInfo("UTC")))


def test_hours_that_a_change_of_the_clock_leaves_out_are_none() -> None:
    (first, *_) = windows(130, 170, "Europe/Berlin", ms("2026-03-28T12:00", BERLIN))
    assert first[0] == ms("2026-03-30T02:10", BERLIN)


def test_quiet_hours_are_kept_per_account_in_the_time_of_the_house(town: Town, clock: Clock) -> None:
    town.platform("PATCH", "/v1/cities/1", {"time_zone": "Europe/Moscow"})
    shown = town.platform("PATCH", "/v1/accounts/h12", {"quiet_from": "13:00", "quiet_until": "15:00"})
    assert (shown["quiet_from"], shown["quiet_until"]) == ("13:00", "15:00")
    clock.now = ms("2026-11-20T12:00", MOSCOW)
    h12, a12 = town.plan("p1", "12")["stages"][0]["targets"]
    assert h12["quiet"][0] == [ms("2026-11-20T13:00", MOSCOW), ms("2026-11-20T15:00", MOSCOW)]
    assert "quiet" not in a12
    town.platform("PATCH", "/v1/accounts/h12", {"quiet_from": None, "quiet_until": None})
    assert "quiet" not in town.plan("p1", "12")["stages"][0]["targets"][0]


@pytest.mark.parametrize("target", [{"kind": "concierge"}, {"account": "c1"}])
def test_a_desk_keeps_its_quiet_hours_where_a_plan_rings_it_and_rings_at_any_hour_where_it_is_called_itself(
    town: Town, clock: Clock, target: dict[str, str]
) -> None:
    town.platform("PATCH", "/v1/cities/1", {"time_zone": "Europe/Moscow"})
    clock.now = ms("2026-11-20T12:00", MOSCOW)
    account = {"account": "c1", "kind": "concierge", "company_id": town.company}
    town.platform("POST", "/v1/accounts", {**account, "quiet_from": "22:00", "quiet_until": "07:00"})
    town.platform("POST", "/v1/concierge-desks", {"account": "c1", "name": "Desk"})
    stages = [{"ring_timeout_s": 20, "targets": [target]}]
    town.platform("POST", "/v1/ring-plans", {"apartment_id": town.apartment, "stages": stages})
    (desk,) = town.plan("p1", "12")["stages"][0]["targets"]
    assert desk["quiet"][0] == [ms("2026-11-20T22:00", MOSCOW), ms("2026-11-21T07:00", MOSCOW)]
    (desk,) = town.plan("p1", "0")["stages"][0]["targets"]
    assert (desk["account"], "quiet" in desk) == ("c1", False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"quiet_from": "22:00"},
        {"quiet_from": "22:00", "quiet_until": None},
        {"quiet_from": "24:00", "quiet_until": "07:00"},
        {"quiet_from": "07:00", "quiet_until": "07:00"},
    ],
)
def test_half_of_quiet_hours_is_refused(town: Town, wrong: dict[str, Any]) -> None:
    town.platform("PATCH", "/v1/accounts/h12", wrong, expect=422)


def test_residents_ring_one_by_one_in_their_order(town: Town) -> None:
    for name, order in (("Olga", 2), ("Pavel", 1), ("Masha", None)):
        home = {"apartment_id": town.apartment, "role": "owner", "ring_order": order}
        body = {"company_id": town.company, "name": name, "apartments": [home]}
        resident = town.platform("POST", "/v1/residents", body)
        assert resident["apartments"][0]["ring_order"] == order
        for device in ("phone", "tablet"):
            account = {"account": f"{name.lower()}-{device}", "kind": "app", "apartment_id": town.apartment}
            town.platform("POST", "/v1/accounts", {**account, "resident_id": resident["id"]})
    stages = [{"ring_timeout_s": 15, "targets": [{"kind": "all"}], "one_by_one": True}]
    town.platform("POST", "/v1/ring-plans", {"apartment_id": town.apartment, "stages": stages})
    assert names(town.plan("p1", "12")) == [
        ["h12", "a12", "pavel-phone", "pavel-tablet"],
        ["olga-phone", "olga-tablet"],
        ["masha-phone", "masha-tablet"],
    ]
    town.platform("PATCH", "/v1/accounts/pavel-phone", {"enabled": False})
    town.platform("PATCH", "/v1/accounts/pavel-tablet", {"enabled": False})
    assert names(town.plan("p1", "12"))[0] == ["h12", "a12", "olga-phone", "olga-tablet"]


def test_a_household_of_phones_alone_is_called_at_once(town: Town) -> None:
    apartment = town.platform("POST", "/v1/apartments", {"entrance_id": town.entrance, "number": 14})["id"]
    home = {"apartment_id": apartment, "role": "owner"}
    owner = {"company_id": town.company, "name": "Vera", "phones": ["+79001234567"], "apartments": [home]}
    town.platform("POST", "/v1/residents", owner)
    phone = {"account": "f14", "kind": "phone", "apartment_id": apartment, "phone": "+79001234567"}
    town.platform("POST", "/v1/accounts", phone)
    plan = town.plan("p1", "14")
    assert names(plan) == [["f14"]]
    assert plan["stages"][0]["targets"][0] | {} == {
        "account": "f14", "kind": "phone", "may_open": True, "number": "+79001234567",
    }  # fmt: skip


def test_why_a_phone_did_not_ring_names_its_quiet_hours(town: Town, database: CrmDatabase) -> None:
    town.platform("PATCH", "/v1/cities/1", {"time_zone": "Europe/Moscow"})
    town.platform("PATCH", "/v1/accounts/h12", {"quiet_from": "22:00", "quiet_until": "07:00"})
    for call_id, moment in (("night", "2026-11-20T23:00"), ("noon", "2026-11-20T12:00")):
        database.rows(
            "INSERT INTO call_records (call_id, company_id, apartment_id, panel, dialled, started_at_ms, result) "
            "VALUES (?, ?, ?, 'p1', '12', ?, 'no_answer')",
            (call_id, town.company, town.apartment, ms(moment, MOSCOW)),
        )
    night = town.platform("GET", "/v1/calls/night/why/h12")
    assert (night["rang"], night["sentence"]) == (
        False, "h12 was not called: it keeps quiet hours at that time of day.",
    )  # fmt: skip
    assert "quiet" not in town.platform("GET", "/v1/calls/noon/why/h12")["sentence"]


@pytest.mark.parametrize(
    ("apartment", "moment", "quiet"),
    [("12", "2026-11-20T23:00", True), ("12", "2026-11-20T12:00", False), (None, "2026-11-20T23:00", False)],
)
def test_why_a_desk_did_not_ring_counts_in_the_time_of_the_apartment_called(
    town: Town, database: CrmDatabase, apartment: str | None, moment: str, quiet: bool
) -> None:
    town.platform("PATCH", "/v1/cities/1", {"time_zone": "Europe/Moscow"})
    desk = {"account": "desk", "kind": "concierge", "company_id": town.company}
    town.platform("POST", "/v1/accounts", {**desk, "quiet_from": "22:00", "quiet_until": "07:00"})
    database.rows(
        "INSERT INTO call_records (call_id, company_id, apartment_id, house_id, panel, dialled, started_at_ms, result) "
        "VALUES ('c', ?, ?, ?, 'p1', '12', ?, 'no_answer')",
        (town.company, apartment and town.apartment, town.house, ms(moment, MOSCOW)),
    )
    why = town.platform("GET", "/v1/calls/c/why/desk")
    assert (why["rang"], "quiet hours" in why["sentence"]) == (False, quiet)
