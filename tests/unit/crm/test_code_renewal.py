from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from crm_api.domain.problems import ConflictError
from crm_api.domain.waking import waking_moment
from crm_api.services.code_renewal import CHUNK, CodeRenewal, drawn
from crm_api.services.context import Tenant

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from tests.unit.crm.conftest import Clock, Town

MONDAY = "2026-11-23T05:00"


def nothing(_done: int, _total: int) -> None:
    """Tell nobody."""


def codes(services: Services, slot: str = MONDAY) -> dict[int, str]:
    decrypted = services.access_codes.context.encryption.decrypted
    rows = services.access_codes.database.rows(
        "SELECT entrance_id, code_encrypted FROM access_codes WHERE slot = ?", (slot,)
    )
    assert len({entrance for entrance, _ in rows}) == len(rows)
    return {entrance: decrypted(text) for entrance, text in rows}


def add_entrances(town: Town, services: Services, count: int) -> None:
    database = services.access_codes.database
    with database.transaction():
        for house in range(count // 90 + 1):
            row = database.row(
                "INSERT INTO houses (company_id, address) VALUES (?, ?) RETURNING id", (town.company, f"Long {house}")
            )
            assert row is not None
            database.many(
                "INSERT INTO entrances (company_id, house_id, number) VALUES (?, ?, ?)",
                [(town.company, row[0], 1 + number) for number in range(min(90, count - 90 * house))],
            )


def test_every_entrance_gets_a_code_by_the_companys_rules(town: Town, services: Services) -> None:
    services.access_code_rules.fill()
    rule = town.platform("GET", "/v1/access-code-rules")["items"][0]
    town.platform("PATCH", f"/v1/access-code-rules/{rule['id']}", {"length": 7, "alphabet": "2468"})
    result = services.code_renewal.renew_company(town.company, MONDAY, nothing)
    assert result == {"entrances": 2, "codes": 2, "codes_of_earlier_attempts": 0}
    for code in codes(services).values():
        assert len(code) == 7
        assert set(code) <= set("2468")
    first = codes(services)[town.entrance]
    assert services.access_codes.typed(1, first).opens


def test_the_old_code_stays_valid_for_the_grace_period(town: Town, services: Services, clock: Clock) -> None:
    services.code_renewal.renew_company(town.company, MONDAY, nothing)
    old = codes(services)[town.entrance]
    clock.now += 7 * 86_400_000
    services.code_renewal.renew_company(town.company, "2026-11-30T05:00", nothing)
    new = codes(services, "2026-11-30T05:00")[town.entrance]
    assert new != old
    assert services.access_codes.typed(1, old).opens
    assert services.access_codes.typed(1, new).opens
    clock.now += 86_400_000
    assert not services.access_codes.typed(1, old).opens
    assert services.access_codes.typed(1, new).opens


def test_entrances_that_one_panel_serves_have_different_codes(
    town: Town, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_entrances(town, services, 90)
    services.access_codes.database.rows(
        "INSERT INTO panel_places (panel_id, company_id, house_id, code) SELECT 2, company_id, id, '30' FROM houses "
        "WHERE address = 'Long 0'"
    )
    # Panel p2 serves three houses whole: 92 codes of four digits out of a few hundred would meet.
    services.access_code_rules.fill()
    rule = town.platform("GET", "/v1/access-code-rules")["items"][0]
    town.platform("PATCH", f"/v1/access-code-rules/{rule['id']}", {"length": 4, "alphabet": "13579"})
    services.code_renewal.renew_company(town.company, MONDAY, nothing)
    found = codes(services)
    assert len(found) == 92
    assert len(set(found.values())) == 92
    monkeypatch.setattr("crm_api.services.code_renewal.DRAWS", 1)

    def until_all_are_taken() -> None:
        for week in range(40):
            services.code_renewal.renew_company(town.company, f"week {week}", nothing)

    with pytest.raises(ConflictError, match="longer"):
        until_all_are_taken()


def test_a_code_does_not_come_again_for_four_weeks(town: Town, services: Services, clock: Clock) -> None:
    services.access_code_rules.fill()
    rule = town.platform("GET", "/v1/access-code-rules")["items"][0]
    town.platform("PATCH", f"/v1/access-code-rules/{rule['id']}", {"length": 4, "alphabet": "1357", "grace_s": 1})
    seen: list[str] = []
    for week in range(12):
        services.code_renewal.renew_company(town.company, f"week {week}", nothing)
        code = codes(services, f"week {week}")[town.entrance]
        assert code not in seen[-3:]
        seen.append(code)
        clock.now += 7 * 86_400_000


def test_a_code_that_opened_until_yesterday_does_not_come_again_however_old_it_is(
    town: Town, services: Services, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.code_renewal.renew_company(town.company, "once", nothing)
    old = codes(services, "once")[town.entrance]
    clock.now += 100 * 86_400_000
    town.platform("POST", f"/v1/entrances/{town.entrance}/renew-code")
    clock.now += 2 * 86_400_000
    assert not services.access_codes.typed(1, old).opens
    far = town.platform("GET", f"/v1/entrances?house_id={town.second_house}")["items"][0]["id"]
    town.platform("POST", "/v1/access-codes", {"entrance_id": far})  # ends what is out of date
    assert town.platform("GET", "/v1/access-codes?active=false")["items"], "the old one has ended"
    scripted = iter(old + "40719")
    monkeypatch.setattr("crm_api.services.code_renewal.secrets.choice", lambda _: next(scripted))
    assert town.platform("POST", f"/v1/entrances/{town.entrance}/renew-code")["code"] == "40719"


def test_a_renewed_code_is_none_of_the_gate_that_its_panel_stands_at(
    town: Town, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = town.platform("POST", "/v1/gates", {"name": "Yard", "houses": [town.house]})["id"]
    town.platform("PATCH", "/v1/panels/2", {"gate_id": gate})
    town.platform("POST", "/v1/access-codes", {"gate_id": gate, "code": "52863"})
    scripted = iter("52863" + "40719")
    monkeypatch.setattr("crm_api.services.code_renewal.secrets.choice", lambda _: next(scripted))
    assert town.platform("POST", f"/v1/entrances/{town.entrance}/renew-code")["code"] == "40719"
    assert services.access_codes.database.row("SELECT count(*) FROM access_codes") == (2,)


class Crash(Exception):  # noqa: N818 - states what happens
    pass


@pytest.mark.parametrize("at", [0, CHUNK, 2 * CHUNK])
def test_a_run_that_is_cut_off_is_taken_up_without_a_second_code(town: Town, services: Services, at: int) -> None:
    add_entrances(town, services, 2 * CHUNK)

    def cut_off(done: int, _total: int) -> None:
        if done > at:
            raise Crash

    with pytest.raises(Crash):
        services.code_renewal.renew_company(town.company, MONDAY, cut_off)
    before = codes(services)
    assert len(before) == at
    result = CodeRenewal(services.access_codes.context).renew_company(town.company, MONDAY, nothing)
    after = codes(services)
    assert len(after) == 2 * CHUNK + 2
    assert result["codes_of_earlier_attempts"] == at
    assert {entrance: after[entrance] for entrance in before} == before


def test_one_entrance_now(town: Town, services: Services) -> None:
    services.code_renewal.renew_company(town.company, MONDAY, nothing)
    renewed = town.platform("POST", f"/v1/entrances/{town.entrance}/renew-code")
    assert services.access_codes.typed(1, renewed["code"]).opens
    assert services.access_codes.typed(1, codes(services)[town.entrance]).opens, "the old one for its grace period"
    audit = town.platform("GET", "/v1/audit?limit=1")["items"][0]
    assert (audit["action"], renewed["code"] in str(audit)) == ("renew", False)
    assert services.code_renewal.got(Tenant(None), town.entrance)


def test_a_courier_for_two_hours_and_a_code_for_once(town: Town, services: Services, clock: Clock) -> None:
    body: dict[str, Any] = {"entrance_id": town.entrance, "valid_until_ms": clock.now + 7_200_000, "note": "courier"}
    courier = town.platform("POST", "/v1/access-codes", body)["code"]
    once = town.platform("POST", "/v1/access-codes", {"entrance_id": town.entrance, "single_use": True})["code"]
    assert services.access_codes.typed(1, courier).opens
    assert services.access_codes.typed(1, once).opens
    assert not services.access_codes.typed(1, once).opens
    clock.now += 7_200_000
    assert not services.access_codes.typed(1, courier).opens
    services.code_renewal.renew_company(town.company, MONDAY, nothing)
    assert town.platform("GET", "/v1/access-codes?active=true")["items"], "a renewal leaves codes out of turn alone"


def test_nothing_obvious_is_drawn() -> None:
    for _ in range(500):
        code = drawn(4, "0123456789", lambda _: False)
        assert len(set(code)) >= 3
    with pytest.raises(ConflictError):
        drawn(4, "12", lambda _: False)


def test_each_house_is_told_by_the_clock_of_its_city(town: Town, services: Services, clock: Clock) -> None:
    """The company's city is where it is noon, the house stands where it is midnight; the second house names no city."""
    clock.now = at("2026-11-23T12:00")
    city = town.platform("POST", "/v1/cities", {"name": "Harbour", "time_zone": "Asia/Kamchatka"})["id"]
    town.platform("PATCH", f"/v1/houses/{town.house}", {"city_id": city})
    services.code_renewal.renew_company(town.company, MONDAY, nothing)
    told = dict(services.access_codes.database.rows("SELECT entrance_id, tell_at_ms FROM access_codes"))
    assert told.pop(town.entrance) == at("2026-11-23T21:00")
    (noon,) = told.values()
    assert noon - at("2026-11-23T12:00") < 60_000


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


@pytest.mark.parametrize(
    ("now", "told"),
    [("2026-11-23T00:00", "2026-11-23T04:00"), ("2026-11-23T07:30", "2026-11-23T07:30"),
     ("2026-11-23T15:00", "2026-11-24T04:00"), ("2026-11-23T14:59", "2026-11-23T14:59")],
)  # fmt: skip
def test_people_are_told_when_they_are_awake(now: str, told: str) -> None:
    assert waking_moment(at(now), "Asia/Yekaterinburg", 9, 20) == at(told)
