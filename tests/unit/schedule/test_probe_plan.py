"""The planner of probes on a simulated clock."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_api.domain.probe_forecast import forecast
from crm_api.domain.probe_hours import Hours
from crm_api.domain.probe_plan import RECHECK_MS, Candidate, Limits, Planner, best_possible_ms
from lab.probe_night import play

ALWAYS = Hours("UTC", dict.fromkeys(range(7), ((0, 1440),)))
DAYTIME = Hours(
    "Asia/Yekaterinburg", dict.fromkeys(range(5), ((600, 780), (840, 1140))), frozenset([date(2026, 11, 24)])
)
LIMITS = Limits(calls_at_once=3, entrance_calls_per_minute=2, panel_pause_s=60, longest_call_s=30)


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


NOON = ms("2026-11-23T12:00")


def handsets(count: int, panels: int = 1) -> list[Candidate]:
    return [Candidate(number, f"p{number % panels}", number % panels) for number in range(count)]


def free(_: str) -> bool:
    return True


def test_a_panel_has_one_call_at_a_time_and_a_pause_after_it() -> None:
    planner = Planner(ALWAYS, LIMITS, handsets(3), NOON)
    (first,) = planner.due(NOON, free)
    assert planner.due(NOON + 20_000, free) == []
    planner.ended(first, NOON + 20_000)
    assert planner.due(NOON + 79_000, free) == []
    assert [one.item_id for one in planner.due(NOON + 80_000, free)] == [1]


def test_an_apartment_that_is_tried_again_in_days_keeps_no_other_waiting() -> None:
    """A panel of a tall house, where the first apartment does not answer."""
    limits = Limits(calls_at_once=1, entrance_calls_per_minute=60, panel_pause_s=0, longest_call_s=60)
    planner = Planner(ALWAYS, limits, [Candidate(item, "p1", 1) for item in range(144)], NOON)
    now_ms, called = NOON, []
    while now_ms < NOON + 3_600_000:
        for candidate in planner.due(now_ms, free):
            called.append(candidate.item_id)
            again_at_ms = now_ms + 86_400_000 if len(called) == 1 else None
            planner.ended(candidate, now_ms, again_at_ms)
        now_ms += 1000
    assert called == list(range(144))
    assert planner.waiting == 1


def test_not_more_calls_than_allowed_at_once_and_the_longest_queue_first() -> None:
    planner = Planner(ALWAYS, LIMITS, [*handsets(8, 4), Candidate(99, "p3", 3)], NOON)
    begun = planner.due(NOON, free)
    assert len(begun) == 3
    assert begun[0].panel == "p3"


def test_an_entrance_with_two_panels_is_not_rung_too_often() -> None:
    planner = Planner(ALWAYS, LIMITS, [Candidate(1, "front", 7), Candidate(2, "back", 7)], NOON)
    (first,) = planner.due(NOON, free)
    planner.ended(first, NOON + 5_000)
    assert planner.due(NOON + 29_000, free) == []
    assert len(planner.due(NOON + 30_000, free)) == 1


def test_a_panel_that_is_not_known_free_is_asked_again_later() -> None:
    planner = Planner(ALWAYS, LIMITS, handsets(1), NOON)
    assert planner.due(NOON, lambda _: False) == []
    assert planner.due(NOON + RECHECK_MS - 1, free) == []
    assert len(planner.due(NOON + RECHECK_MS, free)) == 1


def test_a_dropped_probe_is_called_again_not_before_its_time() -> None:
    planner = Planner(ALWAYS, LIMITS, handsets(2), NOON)
    (first,) = planner.due(NOON, free)
    planner.ended(first, NOON + 1_000, NOON + 200_000)
    (second,) = planner.due(NOON + 61_000, free)
    assert second.item_id == 1
    planner.ended(second, NOON + 70_000)
    assert planner.due(NOON + 131_000, free) == []
    assert [one.item_id for one in planner.due(NOON + 200_000, free)] == [0]


def test_hours_of_the_city_and_no_holidays() -> None:
    spans = list(DAYTIME.windows(ms("2026-11-23T04:00")))[:3]
    assert spans == [
        (ms("2026-11-23T05:00"), ms("2026-11-23T08:00")),
        (ms("2026-11-23T09:00"), ms("2026-11-23T14:00")),
        (ms("2026-11-25T05:00"), ms("2026-11-25T08:00")),
    ]
    planner = Planner(DAYTIME, LIMITS, handsets(1), ms("2026-11-23T07:59"))
    assert planner.due(ms("2026-11-23T07:59:31"), free) == [], "it could not end inside the hours"
    assert planner.next_look_ms(ms("2026-11-23T07:59:31")) == ms("2026-11-23T09:00")


@pytest.mark.parametrize(
    ("begin", "end", "span"),
    [
        ((2, 30), (4, 0), ("2026-03-29T01:00", "2026-03-29T02:00")),  # 02:30 is not: it begins at 03:00
        ((1, 0), (2, 30), ("2026-03-29T00:00", "2026-03-29T01:00")),
        ((2, 0), (2, 59), ("2026-03-30T00:00", "2026-03-30T00:59")),  # none of it: the next day's
    ],
)
def test_hours_that_a_change_of_the_clock_leaves_out_begin_and_end_with_it(
    begin: tuple[int, int], end: tuple[int, int], span: tuple[str, str]
) -> None:
    minutes = (begin[0] * 60 + begin[1], end[0] * 60 + end[1])
    hours = Hours("Europe/Berlin", dict.fromkeys(range(7), (minutes,)))
    assert next(hours.windows(ms("2026-03-28T12:00"))) == (ms(span[0]), ms(span[1]))


def test_hours_that_never_come() -> None:
    never = Hours("UTC", {})
    told = forecast(never, LIMITS, handsets(3), NOON, 20)
    assert (told.calls, told.ends_at_ms, told.left) == (0, None, 3)


def test_a_forecast_tells_who_when_and_the_end() -> None:
    told = forecast(DAYTIME, LIMITS, handsets(5), ms("2026-11-23T13:56"), 20)
    assert [one.at_ms for one in told.first[:3]] == [
        ms("2026-11-23T13:56"), ms("2026-11-23T13:57:20"), ms("2026-11-23T13:58:40"),
    ]  # fmt: skip
    assert told.first[3].at_ms == ms("2026-11-25T05:00")
    assert told.ends_at_ms == told.first[4].at_ms + 20_000


@given(
    counts=st.lists(st.integers(1, 12), min_size=1, max_size=30),
    at_once=st.integers(1, 10),
    pause_s=st.integers(0, 120),
    call_s=st.integers(1, 30),
)
@settings(max_examples=100, deadline=None)
def test_a_campaign_is_close_to_the_best_possible(counts: list[int], at_once: int, pause_s: int, call_s: int) -> None:
    limits = Limits(at_once, 60, pause_s, 30)
    candidates = [
        Candidate(100 * panel + n, f"p{panel}", panel) for panel, count in enumerate(counts) for n in range(count)
    ]
    told = forecast(ALWAYS, limits, candidates, NOON, call_s)
    assert told.calls == len(candidates)
    assert told.ends_at_ms is not None
    work = {f"p{panel}": [call_s * 1000] * count for panel, count in enumerate(counts)}
    best = best_possible_ms(work, limits)
    length = told.ends_at_ms - NOON
    assert length >= best
    # Graham's bound for list scheduling, and the second of the scheduler's look for each call of a panel.
    assert length <= 2 * best + max(counts) * (pause_s + 2) * 1000


def test_a_simulated_night_over_a_district() -> None:
    limits = Limits(calls_at_once=20, entrance_calls_per_minute=2, panel_pause_s=60, longest_call_s=30)
    night = play(panels=1500, handsets=12_000, limits=limits)
    assert len(night.done) == 12_000
    assert night.calls == 12_000 + night.dropped
    assert night.two_calls_on_a_panel == 0
    assert night.longest_visitor_wait_ms <= 1000
    assert night.dropped > 0, "no visitor met a probe: the night has shown nothing"
    assert night.ratio < 1.1
