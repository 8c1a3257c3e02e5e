"""An old plan never stays: random changes interleaved with readers, deliveries and outages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_api.domain.problems import ConflictError
from crm_api.services.changes import Changes
from crm_api.services.delivery import Delivery
from tests.unit.crm.conftest import OF_A_WHOLE_TOWN
from tests.unit.crm.query_plans import reads_of

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from crm_api.services.context import Context
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Api, Clock, Town
    from tests.unit.crm.fakes import FakeCache

NUMBERS = [("p1", "12"), ("p1", "13"), ("p1", "112"), ("p1", "77"), ("p2", "2112"), ("p2", "2113"), ("p2", "2177")]


def essence(plan: Any) -> Any:
    if plan["outcome"] == "unknown_number":
        # Kept for 60 s only (docs/contracts.md §7): that it is unknown must never be old, its language may be.
        return {"outcome": "unknown_number"}
    return {key: value for key, value in plan.items() if key != "issued_at_ms"}


def set_the_citys_clock(api: Api) -> None:
    if api("GET", "/v1/accounts/h13")["quiet_from"] is None:
        api("PATCH", "/v1/accounts/h13", {"quiet_from": "22:00", "quiet_until": "07:00"})
    zone = api("GET", "/v1/cities/1")["time_zone"]
    api("PATCH", "/v1/cities/1", {"time_zone": "Asia/Omsk" if zone == "UTC" else "UTC"})


def change(town: Town, which: int) -> None:
    """Make one of many changes that a ring plan depends on."""
    api = town.platform

    def flip(path: str, field: str) -> None:
        api("PATCH", path, {field: not api("GET", path)[field]})

    def plan(**scope: int) -> None:
        rows = api("GET", "/v1/ring-plans")["items"]
        mine = [
            r
            for r in rows
            if all(r[k] == v for k, v in scope.items()) and r["apartment_id"] == scope.get("apartment_id")
        ]
        if mine:
            api("DELETE", f"/v1/ring-plans/{mine[0]['id']}")
        else:
            stages = [{"ring_timeout_s": 9, "targets": [{"account": "h13"}, {"kind": "all"}]}]
            api("POST", "/v1/ring-plans", {**scope, "stages": stages})

    def renumber() -> None:
        number = api("GET", f"/v1/apartments/{town.apartment}")["number"]
        api("PATCH", f"/v1/apartments/{town.apartment}", {"number": 77 if number == 12 else 12})

    def block() -> None:
        blocks = api("GET", "/v1/blocks")["items"]
        if blocks:
            api("DELETE", f"/v1/blocks/{blocks[0]['id']}")
            return
        kinds = api("GET", "/v1/block-kinds")["items"]
        new = {"company_id": town.company, "name": "debt", "stops_calls": True, "stops_opening": True}
        kind = kinds[0] if kinds else api("POST", "/v1/block-kinds", new)
        api("POST", "/v1/blocks", {"apartment_id": town.apartment, "kind_id": kind["id"], "reason": "r"})

    def ring_longer() -> None:
        seconds = api("GET", f"/v1/companies/{town.company}")["ring_timeout_s"]
        api("PATCH", f"/v1/companies/{town.company}", {"ring_timeout_s": 25 if seconds == 40 else 40})

    def rename_panel() -> None:
        panel = api("GET", "/v1/panels")["items"][0]
        api("PATCH", f"/v1/panels/{panel['id']}", {"name": panel["name"] + "x"})

    def move_gate() -> None:
        gate = next(p for p in api("GET", "/v1/panels")["items"] if p["account"] == "p2")
        codes = ["22", "21"] if gate["places"][0]["code"] == "21" else ["21", "22"]
        places = [{"house_id": town.house, "code": codes[0]}, {"house_id": town.second_house, "code": codes[1]}]
        api("PATCH", f"/v1/panels/{gate['id']}", {"places": places})

    (
        lambda: flip("/v1/accounts/h12", "enabled"),
        lambda: flip("/v1/accounts/h13", "enabled"),
        lambda: flip("/v1/accounts/dispatch", "enabled"),
        lambda: plan(apartment_id=town.apartment),
        lambda: plan(house_id=town.house),
        renumber,
        block,
        ring_longer,
        rename_panel,
        move_gate,
        lambda: set_the_citys_clock(api),
    )[which]()


steps = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.integers(0, 10)),
        st.tuples(st.just("fetch"), st.integers(0, len(NUMBERS) - 1)),
        st.tuples(st.just("put"), st.integers(0, len(NUMBERS) - 1)),
        st.tuples(st.just("deliver"), st.just(0)),
        st.tuples(st.just("outage"), st.just(0)),
        st.tuples(st.just("expire"), st.just(0)),
    ),
    max_size=25,
)


@given(script=steps)
@settings(max_examples=25, suppress_health_check=OF_A_WHOLE_TOWN)
def test_an_old_plan_never_stays(  # noqa: C901 - a small interpreter of the drawn script
    town: Town, delivery: Delivery, cache: FakeCache, script: list[Any]
) -> None:
    """A reader fetches, anything happens, then it puts: after the last delivery the cache holds no old plan.

    A fetch older than a tombstone's life is outside the contract: readers have a deadline below it.
    """
    fetched: dict[tuple[str, str], Any] = {}
    cache.tombstones.clear()
    for pair in NUMBERS:
        cache.put_if_absent(pair, essence(town.plan(*pair)))
    for what, which in script:
        if what == "change":
            change(town, which)
        elif what == "fetch":
            pair = NUMBERS[which]
            fetched[pair] = essence(town.plan(*pair))
        elif what == "put" and NUMBERS[which] in fetched:
            cache.put_if_absent(NUMBERS[which], fetched.pop(NUMBERS[which]))
        elif what == "outage":
            cache.away = True
            change(town, which)
            delivery._heartbeat_at_ms = 0
            with pytest.raises(ConnectionError):
                delivery.deliver()
            cache.away = False
        elif what == "deliver":
            delivery.deliver()
        elif what == "expire":
            delivery.deliver()
            fetched.clear()
            cache.tombstones.clear()
    delivery.deliver()
    for pair, plan in fetched.items():
        cache.put_if_absent(pair, plan)
    for pair, plan in cache.plans.items():
        assert plan == essence(town.plan(*pair)), pair


@pytest.mark.parametrize("which", range(11))
def test_each_change_drops_every_plan_that_it_changes(
    town: Town, delivery: Delivery, cache: FakeCache, which: int
) -> None:
    differed = False
    for _ in ("there", "and back"):
        delivery.deliver()
        cache.tombstones.clear()
        before = {pair: essence(town.plan(*pair)) for pair in NUMBERS}
        cache.plans = dict(before)
        change(town, which)
        delivery.deliver()
        for pair in NUMBERS:
            now = essence(town.plan(*pair))
            differed |= now != before[pair]
            assert cache.plans.get(pair, now) == now, pair
    assert differed


def test_nothing_is_lost_while_redis_is_away(
    town: Town, delivery: Delivery, cache: FakeCache, database: CrmDatabase
) -> None:
    delivery.deliver()
    cache.put_if_absent(("p1", "12"), "old")
    cache.tombstones.clear()
    cache.plans[("p1", "12")] = "old"
    heartbeat = cache.delivered_at_ms
    cache.away = True
    town.platform("PATCH", "/v1/accounts/h12", {"enabled": False})
    for _ in range(3):
        with pytest.raises(ConnectionError):
            delivery.deliver()
    assert cache.delivered_at_ms == heartbeat
    assert database.rows("SELECT id FROM outbox")
    cache.away = False
    assert delivery.deliver() == len({"numbers", "apartments", "account"})
    assert ("p1", "12") not in cache.plans
    assert cache.delivered_at_ms > heartbeat
    assert database.rows("SELECT id FROM outbox") == []


def test_a_block_that_starts_and_ends_later_is_delivered_then(
    town: Town, delivery: Delivery, cache: FakeCache, clock: Clock
) -> None:
    new = {"company_id": town.company, "name": "debt", "stops_calls": True, "stops_opening": True}
    kind = town.platform("POST", "/v1/block-kinds", new)["id"]
    start, end = clock.now + 100_000, clock.now + 200_000
    body = {"apartment_id": town.apartment, "kind_id": kind, "reason": "r", "starts_at_ms": start, "ends_at_ms": end}
    town.platform("POST", "/v1/blocks", body)
    for moment, outcome in ((start, "blocked"), (end, "ring")):
        delivery.deliver()
        cache.tombstones.clear()
        cache.plans[("p1", "12")] = "old"
        delivery.deliver()
        assert ("p1", "12") in cache.plans
        clock.now = moment
        delivery.deliver()
        assert ("p1", "12") not in cache.plans
        assert town.plan("p1", "12")["outcome"] == outcome


def test_a_row_of_the_release_before_is_delivered(
    delivery: Delivery, cache: FakeCache, clock: Clock, database: CrmDatabase
) -> None:
    delivery.deliver()
    due = clock.now + 1000
    row = (due, "numbers", '[["p1", "12"], ["p2", "2112"]]')
    database.rows("INSERT INTO outbox (due_at_ms, scope, payload) VALUES (?, ?, ?)", row)
    cache.plans = {("p1", "12"): "old", ("p2", "2112"): "old", ("p1", "13"): "true"}
    clock.now = due
    assert delivery.deliver() == 1
    assert cache.plans == {("p1", "13"): "true"}


def test_a_restarted_redis_is_not_trusted(delivery: Delivery, cache: FakeCache, clock: Clock) -> None:
    delivery.deliver()
    cache.plans[("p1", "12")] = "loaded from an old file"
    clock.now += 2000
    delivery.deliver()
    assert cache.plans
    cache.run_id = "run-2"
    clock.now += 2000
    delivery.deliver()
    assert cache.plans == {}


def test_a_redis_that_was_restarted_while_nobody_delivered_is_not_trusted(
    context: Context, delivery: Delivery, cache: FakeCache
) -> None:
    delivery.deliver()
    cache.plans[("p1", "12")] = "loaded from an old file"
    Delivery(context, cache).deliver()
    assert cache.plans, "the same Redis, another process"
    cache.run_id = "run-2"
    Delivery(context, cache).deliver()
    assert cache.plans == {}


def test_a_look_at_the_outbox_reads_only_what_is_due(delivery: Delivery, context: Context, clock: Clock) -> None:
    """The ends of a city's guests lie in it for months."""
    with context.database.transaction():
        Changes(context).apartments_at(clock.now + 90 * 24 * 3_600_000, [1])
    lines = [line for line in reads_of(context.database, delivery.deliver) if "outbox" in line]
    assert lines
    assert all(line.startswith("SEARCH outbox USING") for line in lines), lines


def test_changes_are_delivered_in_the_order_in_which_they_were_made(
    delivery: Delivery, cache: FakeCache, monkeypatch: pytest.MonkeyPatch, context: Context
) -> None:
    delivery.deliver()
    dropped: list[tuple[str, str]] = []
    monkeypatch.setattr(cache, "drop", dropped.extend)
    pairs = [("p1", str(number)) for number in (3, 1, 2)]
    for pair in pairs:
        with context.database.transaction():
            Changes(context).numbers([pair])
    delivery.deliver()
    assert dropped == pairs


def test_it_rests_until_the_heartbeat_or_until_a_change_is_due(
    delivery: Delivery, context: Context, clock: Clock
) -> None:
    delivery.deliver()
    assert 0.9 < delivery.rest_s() <= 1.0
    with context.database.transaction():
        Changes(context).apartments_at(clock.now + 400, [1])
    delivery.deliver()
    assert 0.3 < delivery.rest_s() <= 0.4
    clock.now += 400
    assert delivery.rest_s() == 0.0
    assert delivery.deliver() == 1


def test_the_heartbeat_goes_on_when_the_clock_was_put_back(delivery: Delivery, cache: FakeCache, clock: Clock) -> None:
    delivery.deliver()
    clock.now -= 3_600_000
    assert delivery.rest_s() <= 1.0
    delivery.deliver()
    assert cache.delivered_at_ms == clock.now


def test_a_change_that_fails_leaves_no_message(services: Services, context: Context, town: Town) -> None:
    database = context.database
    before = database.rows("SELECT count(*) FROM outbox"), database.rows("SELECT count(*) FROM account_changes")

    def change_and_fail() -> None:
        with database.transaction():
            services.accounts.changes.credential("h12")
            services.accounts.changes.apartments([town.apartment])
            raise ConflictError("no")

    with pytest.raises(ConflictError):
        change_and_fail()
    after = database.rows("SELECT count(*) FROM outbox"), database.rows("SELECT count(*) FROM account_changes")
    assert after == before
