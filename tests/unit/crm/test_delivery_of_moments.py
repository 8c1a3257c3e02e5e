"""Plans of what ends by itself, of two changes at one moment, and of hosts whose clocks are apart."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from crm_api.services.delivery import Delivery
from tests.unit.crm.fakes import FakeCache
from tests.unit.crm.test_delivery import essence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from crm_api.services.context import Context
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Clock, Town


def another_number(town: Town) -> None:
    town.platform("PATCH", f"/v1/apartments/{town.apartment}", {"number": 77})


def another_house(town: Town) -> None:
    there = next(e for e in town.platform("GET", "/v1/entrances")["items"] if e["house_id"] == town.second_house)
    town.platform("PATCH", f"/v1/apartments/{town.apartment}", {"entrance_id": there["id"], "number": 77})


def another_code(town: Town) -> None:
    town.platform("PATCH", "/v1/panels/2", {"places": [{"house_id": town.house, "code": "31"}]})


def a_separator(town: Town) -> None:
    town.platform("PATCH", "/v1/panels/2", {"separator": "*"})


def another_panel(town: Town) -> None:
    town.platform("POST", "/v1/accounts", {"account": "p3", "kind": "panel", "company_id": town.company})
    body = {"account": "p3", "name": "Back", "places": [{"entrance_id": town.entrance}]}
    town.platform("POST", "/v1/panels", body | {"doors": [{"method": "dtmf", "dtmf": "7"}]})


def guest_of(town: Town, apartment: int, ends_at_ms: int) -> None:
    """A guest with an account of his own, `guest`."""
    home = {"apartment_id": apartment, "role": "guest", "ends_at_ms": ends_at_ms}
    body = {"company_id": town.company, "name": "Guest", "apartments": [home]}
    resident = town.platform("POST", "/v1/residents", body)["id"]
    account = {"account": "guest", "kind": "app", "apartment_id": apartment, "resident_id": resident}
    town.platform("POST", "/v1/accounts", account)


@pytest.mark.parametrize(
    ("meanwhile", "pair"),
    [
        (another_number, ("p1", "77")),
        (another_house, ("p2", "2277")),
        (another_code, ("p2", "3112")),
        (a_separator, ("p2", "21*12")),
        (another_panel, ("p3", "12")),
    ],
)
def test_what_ends_by_itself_ends_under_the_numbers_of_that_moment(
    town: Town, context: Context, clock: Clock, meanwhile: Callable[[Town], None], pair: tuple[str, str]
) -> None:
    cache = FakeCache()
    delivery = Delivery(context, cache)
    end, block_end = clock.now + 100_000, clock.now + 200_000
    guest_of(town, town.apartment, end)
    new = {"company_id": town.company, "name": "debt", "stops_calls": True, "stops_opening": True}
    kind = town.platform("POST", "/v1/block-kinds", new)["id"]
    block = {"apartment_id": town.apartment, "kind_id": kind, "reason": "r", "ends_at_ms": block_end}
    town.platform("POST", "/v1/blocks", block | {"starts_at_ms": end + 1000})
    meanwhile(town)
    for moment in (end, end + 1000, block_end):
        delivery.deliver()
        cache.tombstones.clear()
        before = essence(town.plan(*pair))
        cache.put_if_absent(pair, before)
        clock.now = moment
        delivery.deliver()
        assert pair not in cache.plans
        assert essence(town.plan(*pair)) != before


def a_block(town: Town) -> None:
    kind = town.platform("GET", "/v1/block-kinds")["items"][0]["id"]
    town.platform("POST", "/v1/blocks", {"apartment_id": town.apartment, "kind_id": kind, "reason": "r"})


def a_kind_that_stops_opening_no_more(town: Town) -> None:
    kind = town.platform("GET", "/v1/block-kinds")["items"][0]["id"]
    town.platform("PATCH", f"/v1/block-kinds/{kind}", {"stops_calls": False, "stops_opening": False})


def without_h12(town: Town) -> None:
    town.platform("PATCH", "/v1/accounts/h12", {"enabled": False})


def without_h13(town: Town) -> None:
    town.platform("PATCH", "/v1/accounts/h13", {"enabled": False})


def without_the_desk(town: Town) -> None:
    town.platform("PATCH", "/v1/accounts/c1", {"enabled": False})


def h13_is_named(town: Town, **scope: int) -> None:
    stages = [{"ring_timeout_s": 9, "targets": [{"account": "h13"}, {"kind": "all"}]}]
    town.platform("POST", "/v1/ring-plans", {**(scope or {"apartment_id": town.apartment}), "stages": stages})


def h13_is_named_by_the_house(town: Town) -> None:
    h13_is_named(town, house_id=town.house)


def h13_is_named_by_the_company(town: Town) -> None:
    h13_is_named(town, company_id=town.company)


def a_desk(town: Town) -> None:
    town.platform("POST", "/v1/concierge-desks", {"account": "c1", "name": "Desk"})


@pytest.mark.parametrize(
    ("first", "second", "pair"),
    [
        (a_block, another_panel, ("p3", "12")),
        (a_block, another_code, ("p2", "3112")),
        (without_h12, another_code, ("p2", "3112")),
        (without_h13, h13_is_named, ("p1", "12")),
        (without_h13, h13_is_named_by_the_house, ("p1", "12")),
        (without_the_desk, a_desk, ("p1", "0")),
        (a_kind_that_stops_opening_no_more, a_block, ("p1", "12")),
    ],
)
def test_of_two_changes_at_one_moment_neither_leaves_an_old_plan(
    town: Town, context: Context, first: Callable[[Town], None], second: Callable[[Town], None], pair: tuple[str, str]
) -> None:
    """The first is made, but not committed, when the second is: it cannot know of it, and a plan is read in between."""
    database = context.database
    if database.dialect == "sqlite":
        pytest.skip("it has one writer at a time")
    new = {"company_id": town.company, "name": "debt", "stops_calls": True, "stops_opening": True}
    town.platform("POST", "/v1/block-kinds", new)
    town.platform("POST", "/v1/accounts", {"account": "c1", "kind": "concierge", "company_id": town.company})
    cache = FakeCache()
    delivery = Delivery(context, cache)
    made, may_commit = threading.Event(), threading.Event()

    def in_another_worker() -> None:
        try:
            with database.transaction():
                first(town)
                made.set()
                assert may_commit.wait(60)
        finally:
            made.set()
            database.forget_connection()

    thread = threading.Thread(target=in_another_worker)
    thread.start()
    try:
        assert made.wait(60)
        second(town)
        delivery.deliver()
        cache.tombstones.clear()  # their two seconds are over
        before = essence(town.plan(*pair))
        cache.put_if_absent(pair, before)
    finally:
        may_commit.set()
        thread.join()
    assert essence(town.plan(*pair)) != before
    delivery.deliver()
    assert pair not in cache.plans


@pytest.mark.parametrize("scope", ["apartment", "house", "company"])
def test_a_guest_who_is_named_elsewhere_leaves_those_plans_too(
    town: Town, delivery: Delivery, cache: FakeCache, clock: Clock, scope: str
) -> None:
    end = clock.now + 100_000
    guest_of(town, town.neighbour, end)
    of = {"apartment": town.apartment, "house": town.house, "company": town.company}[scope]
    stages = [{"ring_timeout_s": 9, "targets": [{"account": "guest"}, {"kind": "all"}]}]
    town.platform("POST", "/v1/ring-plans", {f"{scope}_id": of, "stages": stages})
    delivery.deliver()
    cache.tombstones.clear()
    before = essence(town.plan("p2", "2112"))
    assert "guest" in str(before)
    cache.put_if_absent(("p2", "2112"), before)
    clock.now = end
    delivery.deliver()
    assert ("p2", "2112") not in cache.plans
    assert "guest" not in str(town.plan("p2", "2112")["stages"])


@pytest.mark.parametrize("behind_ms", [9 * 60_000, 65 * 60_000])
def test_a_plan_made_by_a_host_whose_clock_is_behind_does_not_stay(
    town: Town, delivery: Delivery, cache: FakeCache, clock: Clock, behind_ms: int
) -> None:
    """Another host, or this one before its clock is put back, delivers the guest's end before it comes here."""
    end = clock.now + 100_000
    guest_of(town, town.apartment, end)
    clock.now = end + behind_ms
    delivery.deliver()
    cache.tombstones.clear()
    clock.now = end - 60_000
    made = essence(town.plan("p2", "2112"))
    assert "guest" in str(made)
    cache.put_if_absent(("p2", "2112"), made)
    clock.now = end + 70 * 60_000
    delivery.deliver()
    assert cache.plans == {}


def test_a_change_is_delivered_by_a_host_whose_clock_is_behind(
    town: Town, delivery: Delivery, cache: FakeCache, clock: Clock, database: CrmDatabase
) -> None:
    delivery.deliver()
    cache.put_if_absent(("p2", "2112"), essence(town.plan("p2", "2112")))
    town.platform("PATCH", "/v1/accounts/a12", {"enabled": False})
    clock.now -= 3_600_000
    delivery.deliver()
    assert cache.plans == {}
    assert database.rows("SELECT id FROM outbox") == []


@pytest.mark.parametrize("named_by", [a_desk, h13_is_named_by_the_company])
def test_a_change_of_an_account_drops_each_plan_of_its_company_once(
    town: Town, context: Context, monkeypatch: pytest.MonkeyPatch, named_by: Callable[[Town], None]
) -> None:
    town.platform("POST", "/v1/accounts", {"account": "c1", "kind": "concierge", "company_id": town.company})
    named_by(town)
    cache = FakeCache()
    delivery = Delivery(context, cache)
    delivery.deliver()
    dropped: list[tuple[str, str]] = []

    def drop(pairs: Iterable[tuple[str, str]]) -> int:
        kept = list(pairs)
        dropped.extend(kept)
        return len(kept)

    monkeypatch.setattr(cache, "drop", drop)
    (without_the_desk if named_by is a_desk else without_h13)(town)
    town.platform("PATCH", "/v1/accounts/c1" if named_by is a_desk else "/v1/accounts/h13", {"enabled": True})
    delivery.deliver()
    of_the_company = [("p1", "0"), ("p2", "0"), ("p1", "112"), ("p2", "112")]
    assert [dropped.count(pair) for pair in of_the_company] == [1, 1, 1, 1]
