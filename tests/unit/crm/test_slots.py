from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from crm_api.domain.slots import check_cron, latest_due, slot_after, slot_from

MONDAYS = "0 5 * * 1"


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


def test_monday_in_cron_is_monday() -> None:
    slot = slot_from(MONDAYS, "Asia/Yekaterinburg", ms("2026-11-21T12:00"))
    assert slot.name == "2026-11-23T05:00"
    assert slot.due_at_ms == ms("2026-11-23T00:00")
    assert slot_after(MONDAYS, "Asia/Yekaterinburg", slot.name).name == "2026-11-30T05:00"


@pytest.mark.parametrize(
    ("cron", "first"),
    [("0 5 * * 0", "2026-11-22"), ("0 5 * * 7", "2026-11-22"), ("0 5 * * sun", "2026-11-22"),
     ("0 5 * * 2-3", "2026-11-24"), ("0 5 * * 5-1", "2026-11-22"), ("0 5 * * *", "2026-11-22"),
     ("0 5 1 * *", "2026-12-01"),
     ("0 5 29 2 *", "2028-02-29")],
)  # fmt: skip
def test_days_as_cron_has_them(cron: str, first: str) -> None:
    assert slot_from(cron, "UTC", ms("2026-11-21T12:00")).name == f"{first}T05:00"


@pytest.mark.parametrize(
    "cron",
    ["", "0 5 * *", "60 5 * * 1", "0 5 * * 8", "0 5 * * 1,", "0 5 30 2 *", "0 5 1 * 1", "x 5 * * 1", "0 5 * * mon-",
     "*/0 * * * *"],
)  # fmt: skip
def test_what_is_no_cron(cron: str) -> None:
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        check_cron(cron)


@pytest.mark.parametrize("cron", ["0 0 31 4 *", "0 5 31 2,4,6,9,11 *", "*/1 * 30-31 2 *"])
def test_a_day_that_never_comes_is_known_at_once(cron: str) -> None:
    began_s = time.thread_time()
    with pytest.raises(ValueError, match="never comes"):
        check_cron(cron)
    assert time.thread_time() - began_s < 0.05, "no look at eight thousand years"


@pytest.mark.parametrize(
    ("cron", "first"),
    [("0 5 31 2-4 *", "2027-03-31"), ("0 5 29-31 2 *", "2028-02-29"), ("0 5 31 */11 *", "2027-01-31")],
)
def test_a_day_that_comes_in_one_of_its_months_comes(cron: str, first: str) -> None:
    assert slot_from(check_cron(cron), "UTC", ms("2026-12-31T12:00")).name == f"{first}T05:00"


def test_a_time_that_summer_time_leaves_out_is_due_when_the_gap_ends() -> None:
    slot = slot_from("30 2 * * *", "Europe/Berlin", ms("2026-03-28T12:00"))
    assert (slot.name, slot.due_at_ms) == ("2026-03-29T02:30", ms("2026-03-29T01:00"))
    assert slot_after("30 2 * * *", "Europe/Berlin", slot.name).due_at_ms == ms("2026-03-30T00:30")


def test_a_time_that_comes_twice_is_due_the_first_time_only() -> None:
    slot = slot_from("30 2 * * *", "Europe/Berlin", ms("2026-10-24T12:00"))
    assert (slot.name, slot.due_at_ms) == ("2026-10-25T02:30", ms("2026-10-25T00:30"))
    assert slot_from("30 2 * * *", "Europe/Berlin", slot.due_at_ms + 1).name == "2026-10-26T02:30"


def test_the_slots_of_a_change_keep_their_order() -> None:
    slot = slot_from("*/15 * * * *", "Europe/Berlin", ms("2026-03-29T00:00"))
    moments = []
    for _ in range(20):
        moments.append(slot.due_at_ms)
        slot = slot_after("*/15 * * * *", "Europe/Berlin", slot.name)
    assert moments == sorted(moments)


def test_of_slots_missed_the_last_is_due_and_the_others_are_counted() -> None:
    first = slot_from(MONDAYS, "UTC", ms("2026-11-01T00:00"))
    slot, following, missed = latest_due(MONDAYS, "UTC", first, ms("2026-11-23T07:10"))
    assert (slot.name, following.name, missed) == ("2026-11-23T05:00", "2026-11-30T05:00", 3)


def test_a_job_of_every_minute_that_slept_for_years_is_not_counted_for_years() -> None:
    first = slot_from("* * * * *", "UTC", ms("2016-11-01T00:00"))
    slot, _, missed = latest_due("* * * * *", "UTC", first, ms("2026-11-23T07:10"))
    assert slot.name == "2026-11-23T07:10"
    assert missed >= 1000
