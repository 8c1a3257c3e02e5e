"""The number of an emergency call: from the CRM, else what was known, else the shared one; and who is called back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

import msgspec
import pytest

from agi_apps.applications import call_back, emergency, emergency_ended
from agi_apps.crm_client import CrmAway
from agi_apps.emergency_lease import CallBack, EmergencyLeases, Found, Lease
from agi_apps.local_store import LocalStore
from agi_apps.redis_link import RedisAway
from agi_apps.variables import Decision, Variable
from tests.unit.agi.stand_ins import NOW_MS, Events, Leases, Plans, services

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from agi_apps.crm_client import CrmClient
    from agi_apps.redis_link import RedisLink

FACTS = "1|+7495999|line|112|0|Lenina%201|en"
LEASE = Lease("p1", 1, "+7495001", "line", "leased", NOW_MS + 60_000)


class Crm:
    """Tells one lease and one call back, or is away."""

    def __init__(self, lease: Lease | None, back: CallBack | None = None) -> None:
        self.lease, self.back = lease, back

    def emergency_lease(self, _panel: str, _call_id: str) -> bytes:
        if self.lease is None:
            raise CrmAway("connection refused")
        return msgspec.json.encode(self.lease)

    def emergency_call_back(self, _number: str, _call_id: str) -> bytes:
        if self.back is None:
            raise CrmAway("connection refused")
        return msgspec.json.encode(self.back)


class Redis:
    """A dictionary, or away."""

    def __init__(self) -> None:
        self.away = False
        self.kept: dict[str, bytes] = {}

    def mget(self, *keys: str) -> list[bytes | None]:
        if self.away:
            raise RedisAway("no answer")
        return [self.kept.get(key) for key in keys]

    def pipeline(self, commands: Sequence[tuple[object, ...]]) -> None:
        if self.away:
            raise RedisAway("no answer")
        for _set, key, value, *_ in commands:
            self.kept[str(key)] = cast("bytes", value)


def leases(crm: Crm, redis: Redis, store: LocalStore) -> tuple[EmergencyLeases, ThreadPoolExecutor]:
    beside = ThreadPoolExecutor(1)
    made = EmergencyLeases(cast("CrmClient", crm), cast("RedisLink", redis), store, lambda: NOW_MS, beside)
    return made, beside


@pytest.mark.parametrize("redis_away", [False, True])
def test_a_lease_is_known_after_the_crm_has_gone(tmp_path: Path, redis_away: bool) -> None:
    crm, redis, store = Crm(LEASE, CallBack("+7495001", "p1", source="lease")), Redis(), LocalStore(f"{tmp_path}/a.db")
    found, beside = leases(crm, redis, store)
    assert found.find("p1", "c1") == Found(LEASE, "crm")
    assert found.call_back("+7495001", "b1").source == "lease"
    beside.shutdown()
    crm.lease = crm.back = None
    redis.away = redis_away
    found, _ = leases(crm, redis, store)
    assert found.find("p1", "c2") == Found(LEASE, "last_known" if redis_away else "redis")
    assert found.find("p2", "c3") is None
    assert found.call_back("+7495001", "b2").panel == "p1"
    assert found.call_back("+7495002", "b3") == CallBack("+7495002")


@pytest.mark.parametrize("source", ["last_caller", "shared"])
def test_who_called_last_with_the_shared_number_is_not_remembered(tmp_path: Path, source: str) -> None:
    """Somebody else may have since: Kamailio knows."""
    crm, store = Crm(None, CallBack("+7495999", "p1", source=source)), LocalStore(f"{tmp_path}/a.db")
    found, beside = leases(crm, Redis(), store)
    assert found.call_back("+7495999", "b1").panel == "p1"
    beside.shutdown()
    crm.back = None
    assert leases(crm, Redis(), store)[0].call_back("+7495999", "b2") == CallBack("+7495999")


def test_an_expired_lease_is_not_used(tmp_path: Path) -> None:
    old = Lease("p1", 1, "+7495001", "line", "leased", NOW_MS - 1)
    found, beside = leases(Crm(old), Redis(), LocalStore(f"{tmp_path}/a.db"))
    found.find("p1", "c1")
    beside.shutdown()
    store = LocalStore(f"{tmp_path}/a.db")
    assert leases(Crm(None), Redis(), store)[0].find("p1", "c2") is None


@pytest.mark.parametrize("redis_away", [False, True])
@pytest.mark.parametrize("now_of", ["p2", None], ids=["another panel's", "nobody's"])
def test_a_number_that_is_another_panels_by_now_is_not_used(
    tmp_path: Path, now_of: str | None, *, redis_away: bool
) -> None:
    """It was promised for the longest call and the time after it; the call was shorter."""
    crm, redis, store = Crm(LEASE, CallBack("+7495001", now_of)), Redis(), LocalStore(f"{tmp_path}/a.db")
    found, beside = leases(crm, redis, store)
    found.find("p1", "c1")
    found.call_back("+7495001", "b1")
    beside.shutdown()
    crm.lease = crm.back = None
    redis.away = redis_away
    assert leases(crm, redis, store)[0].find("p1", "c2") is None


def run_emergency(found: Found | None, facts: str = FACTS) -> tuple[dict[Variable, str], Events]:
    events = Events()
    made = services(Plans(None), events=events, leases=Leases(found))
    return dict(emergency.run(("c1", "p1", "112", facts, "5"), made)), events


def test_the_leased_number_takes_the_place_of_the_shared_one() -> None:
    outputs, events = run_emergency(Found(LEASE, "crm"))
    assert outputs == {
        Variable.DECISION: Decision.DIAL, Variable.EMERGENCY: "1|+7495001|line", Variable.RECORDED: "0",
    }  # fmt: skip
    assert events.kept[0]["number"] == "+7495001"
    assert events.kept[0]["detail"] == "leased, told by crm"


def test_without_a_lease_the_call_goes_out_with_what_kamailio_told() -> None:
    outputs, events = run_emergency(None)
    assert outputs[Variable.EMERGENCY] == "1|+7495999|line"
    assert str(events.kept[0]["detail"]).endswith("told by nobody")


def test_a_city_without_any_number_calls_all_the_same() -> None:
    outputs, _ = run_emergency(Found(Lease("p1", 2), "crm"), "")
    assert outputs[Variable.EMERGENCY] == "2|-|-"


def test_an_app_is_refused_where_the_company_says_so() -> None:
    outputs, events = run_emergency(Found(Lease("a1", refused=True), "crm"))
    assert outputs[Variable.DECISION] == Decision.PROMPT
    assert events.kept[0]["step"] == "refused"


def test_recording_follows_the_centre() -> None:
    outputs, _ = run_emergency(Found(Lease("p1", 1, "+7495001", "line", "leased", 1, records_calls=True), "crm"))
    assert outputs[Variable.RECORDED] == "1"
    outputs, _ = run_emergency(None, "1|+7495999|line|112|1|x|en")
    assert outputs[Variable.RECORDED] == "1"


def run_back(back: CallBack) -> tuple[dict[Variable, str], Events]:
    events = Events()
    made = services(Plans(None), events=events, leases=Leases(back=back))
    return dict(call_back.run(("b1", "city-line", "+7495001"), made)), events


def test_the_panel_is_called_back_with_its_address_said_first() -> None:
    outputs, events = run_back(
        CallBack("+7495001", "p1", 1, ("d1",), "lease", 'Lenina "1"; $(reboot)', 3, "ru", auto_answer=True)
    )
    assert outputs[Variable.ACCOUNTS] == "p1"
    assert outputs[Variable.ADDRESS] == "Lenina 1 reboot 3", "letters, digits and spaces only: a shell sees it"
    assert (outputs[Variable.AUTO_ANSWER], outputs[Variable.CALLED_BACK]) == ("1", "panel")
    assert (events.kept[0]["direction"], events.kept[0]["panel"]) == ("back", "p1")


def test_without_a_panel_the_desks_ring_and_without_desks_somebody_is_told() -> None:
    outputs, _ = run_back(CallBack("+7495001", None, 1, ("d1", "d2"), "desk"))
    assert (outputs[Variable.ACCOUNTS], outputs[Variable.CALLED_BACK]) == ("d1,d2", "desk")
    outputs, _ = run_back(CallBack("+7495001"))
    assert outputs[Variable.DECISION] == Decision.PROMPT


@pytest.mark.parametrize(
    ("status", "direction", "events"),
    [("ANSWER", "out", ["answered", "answered"]), ("CHANUNAVAIL", "out", ["failed", "failed"]),
     ("", "back", ["caller_hung_up"])],
)  # fmt: skip
def test_the_end_is_recorded(status: str, direction: str, events: list[str]) -> None:
    kept = Events()
    arguments = ("c1", "p1", "112", status, "16", "900", "5", direction, "", "1")
    emergency_ended.run(arguments, services(Plans(None), events=kept))
    assert [event["result"] for event in kept.kept] == events
    assert {event["moves"] for event in kept.kept} == {1}
    assert kept.freed == []


def test_after_a_call_back_the_panel_is_free_and_desks_are_no_panel() -> None:
    kept = Events()
    for called in ("p7", "d1,d2"):
        arguments = ("c1", "city-line", "+7495001", "ANSWER", "16", "900", "5", "back", called, "1")
        emergency_ended.run(arguments, services(Plans(None), events=kept))
    assert kept.freed == [("p7", "c1", 1)]
    assert [event["panel"] for event in kept.kept] == [None, None], "who calls back is a trunk, not a panel"
