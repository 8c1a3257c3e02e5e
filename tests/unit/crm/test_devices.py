from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.crm.conftest import Api

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from tests.unit.crm.conftest import Town
    from tests.unit.crm.fakes import FakePanelDriver

RELAY = {"name": "Barrier", "address": "127.0.1.9", "credentials": {"user": "admin", "password": "relay-secret"}}


def relay(town: Town, **more: Any) -> Any:
    return town.platform("POST", "/v1/relays", {"company_id": town.company, **RELAY, **more})


def test_a_relay_opens_its_own_door_for_an_operator(town: Town, driver: FakePanelDriver, services: Services) -> None:
    doors = [{"output": 3, "name": "Barrier", "entrance_id": town.entrance}]
    made = relay(town, doors=doors)
    assert "relay-secret" not in str(made)
    assert "relay-secret" not in str(services.relays.database.rows("SELECT credentials FROM relays"))
    assert made["last_seen_at_ms"] is None
    answer = town.platform("POST", f"/v1/doors/{made['doors'][0]['id']}/open")
    assert answer["result"] == "opened"
    access, output = driver.opened[0]
    assert (access.address, access.password, output) == ("127.0.1.9", "relay-secret", 3)
    assert town.platform("GET", f"/v1/relays/{made['id']}")["last_seen_at_ms"] is not None
    assert town.platform("GET", "/v1/access-records")["items"][0]["panel"] == "Barrier"


def test_a_panels_door_may_be_opened_by_a_relay_and_the_call_side_sees_http(
    town: Town, driver: FakePanelDriver
) -> None:
    relay_id = relay(town)["id"]
    door = {"output": 1, "method": "relay", "relay_id": relay_id, "relay_output": 4}
    panel = town.platform("PATCH", "/v1/panels/1", {"doors": [door]})
    assert (panel["doors"][0]["relay_id"], panel["doors"][0]["relay_output"]) == (relay_id, 4)
    assert town.plan("p1", "12")["door"] == {"door_id": panel["doors"][0]["id"], "method": "http", "dtmf": None}
    wish = {"call_id": "c", "panel": "p1", "dialled": "12", "account": "h12"}
    assert town.service("POST", "/v1/door-openings", wish)["result"] == "opened"
    assert driver.opened[0][1] == 4
    problem = town.platform("DELETE", f"/v1/relays/{relay_id}", expect=409)
    assert "Lenina 1, entrance 1" in problem["detail"]
    town.platform("PATCH", "/v1/panels/1", {"doors": []})
    town.platform("DELETE", f"/v1/relays/{relay_id}")


def test_replaced_doors_of_a_relay_keep_their_id(town: Town) -> None:
    made = relay(town, doors=[{"output": 1}, {"output": 2, "name": "Wicket"}])
    ids = {door["output"]: door["id"] for door in made["doors"]}
    changed = town.platform("PATCH", f"/v1/relays/{made['id']}", {"doors": [{"output": 2, "name": "Gate"}]})
    assert [(door["id"], door["name"]) for door in changed["doors"]] == [(ids[2], "Gate")]


@pytest.mark.parametrize(
    "door",
    [
        {"method": "relay"},
        {"method": "relay", "relay_id": 1},
        {"method": "http", "relay_id": 1, "relay_output": 1},
        {"method": "dtmf"},
        {"method": "telepathy"},
        {"method": "http", "output": 17},
    ],
)
def test_doors_that_cannot_be(town: Town, door: dict[str, Any]) -> None:
    town.platform("PATCH", "/v1/panels/1", {"doors": [door]}, 422)
    assert town.plan("p1", "12")["door"]["dtmf"] == "7"


def test_a_relay_of_another_company_opens_nothing_here(town: Town) -> None:
    other = town.platform("POST", "/v1/companies", {"name": "Others"})["id"]
    strange = town.platform("POST", "/v1/relays", {"company_id": other, **RELAY})["id"]
    door = {"output": 1, "method": "relay", "relay_id": strange, "relay_output": 1}
    town.platform("PATCH", "/v1/panels/1", {"doors": [door]}, 404)


@pytest.mark.parametrize(
    ("kept", "given"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("10.1.2.3", "10.1.2.3:80"),
        ("10.1.2.3:80", "10.1.2.3"),
        ("10.1.2.3:080", "10.1.2.3:80"),
        ("10.1.2.3:8080", "10.1.2.3:08080"),
        ("Relay.homes.example", "relay.HOMES.example.:80"),
    ],
)
@pytest.mark.parametrize("noun", ["panels", "relays"])
def test_the_address_of_another_companys_device_is_refused(
    town: Town, services: Services, noun: str, kept: str, given: str
) -> None:
    """Whoever named it as his own device's opened that door. What is there already stays, and the platform may."""
    path = "/v1/panels/1" if noun == "panels" else f"/v1/relays/{relay(town, address='10.9.9.9')['id']}"
    town.platform("PATCH", path, {"address": kept})
    other = town.platform("POST", "/v1/companies", {"name": "Others"})["id"]
    house = town.platform("POST", "/v1/houses", {"company_id": other, "address": "Mira 1"})["id"]
    town.platform("POST", "/v1/accounts", {"account": "p9", "kind": "panel", "company_id": other})
    theirs = Api(town.client, services.tokens.create("admin of Others", "operator", "Others"))
    new = {"account": "p9", "name": "Gate", "places": [{"house_id": house}]}
    problems = [
        theirs("POST", "/v1/relays", {"name": "R", "address": given}, 409),
        theirs("POST", "/v1/panels", {**new, "address": given}, 409),
    ]
    mine = theirs("POST", "/v1/relays", {"name": "R", "address": "10.1.2.4"})["id"]
    panel = theirs("POST", "/v1/panels", {**new, "address": "10.1.2.3:81"})["id"]
    problems += [
        theirs("PATCH", f"/v1/relays/{mine}", {"address": given}, 409),
        theirs("PATCH", f"/v1/panels/{panel}", {"address": given}, 409),
    ]
    for problem in problems:
        assert problem["errors"][0]["field"] == "address"
        assert "is taken" in problem["errors"][0]["remedy"]
        assert not any(word in str(problem) for word in ("Homes", "Lenina", "Barrier", f"company {town.company}"))
    town.platform("PATCH", f"/v1/relays/{mine}", {"address": given})
    assert theirs("PATCH", f"/v1/relays/{mine}", {"address": given, "name": "Shared"})["name"] == "Shared"
    theirs("PATCH", f"/v1/relays/{mine}", {"address": "10.1.2.4"})
    theirs("PATCH", f"/v1/panels/{panel}", {"address": "10.1.2.4"})  # a company's own devices may share one


@pytest.mark.parametrize("wrong", ["0xa010203", "10.0x1.2.0x3", "10.1.515", "relay.7", "010.1.2.3", "10.1.2.3."])
def test_an_ipv4_address_is_written_in_one_way(town: Town, wrong: str) -> None:
    town.platform("PATCH", "/v1/panels/1", {"address": wrong}, 422)


def test_a_panel_is_described(town: Town) -> None:
    known = {"maker": "Beward", "model": "DKS15122", "latitude": 55.75, "longitude": 37.61}
    panel = town.platform("PATCH", "/v1/panels/1", known)
    assert {name: panel[name] for name in known} == known


TOKEN = {"account": "a12", "device": "pixel-7a1f", "platform": "fcm", "token": "fGc3s9:APA91bHun4"}


def test_an_account_has_several_devices_and_each_one_token(town: Town, services: Services) -> None:
    first = town.platform("POST", "/v1/push-tokens", TOKEN)
    assert first["token_end"] == "1bHun4"
    assert TOKEN["token"] not in str(first)
    town.platform("POST", "/v1/push-tokens", {**TOKEN, "device": "ipad", "platform": "apns_voip"})
    again = town.platform("POST", "/v1/push-tokens", {**TOKEN, "token": "x" * 4096})
    assert (again["id"], again["version"]) == (first["id"], 2)
    assert len(town.platform("GET", "/v1/push-tokens?account=a12")["items"]) == 2
    assert services.push_tokens.database.row("SELECT length(token) FROM push_tokens WHERE device = 'pixel-7a1f'") == (
        4096,
    )
    assert TOKEN["token"] not in str(services.push_tokens.database.rows("SELECT * FROM audit_log"))


def test_a_refused_token_is_out_of_use_until_the_device_sends_another(town: Town) -> None:
    made = town.platform("POST", "/v1/push-tokens", TOKEN)
    path = f"/v1/push-tokens/{made['id']}"
    assert town.platform("POST", f"{path}/invalidate", {"reason": "UNREGISTERED"})["invalid_reason"] == "UNREGISTERED"
    town.platform("POST", f"{path}/invalidate", {"reason": "later"})
    assert town.platform("GET", path)["invalid_reason"] == "UNREGISTERED"
    assert town.platform("GET", "/v1/push-tokens?valid=true")["items"] == []
    assert len(town.platform("GET", "/v1/push-tokens?valid=false")["items"]) == 1
    assert town.platform("POST", "/v1/push-tokens", TOKEN)["invalidated_at_ms"] is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"account": "h12"},
        {"account": "nobody"},
        {"token": "x" * 4097},
        {"token": "with space"},
        {"platform": "pigeon"},
        {"device": "a/b"},
    ],
)
def test_push_tokens_that_cannot_be(town: Town, wrong: dict[str, Any]) -> None:
    problem = town.platform("POST", "/v1/push-tokens", {**TOKEN, **wrong}, 422)
    assert [e["field"] for e in problem["errors"]] == list(wrong)
    assert "with space" not in str(problem)


def test_the_twenty_first_device_is_one_too_many(town: Town) -> None:
    for number in range(20):
        town.platform("POST", "/v1/push-tokens", {**TOKEN, "device": f"d{number}"})
    town.platform("POST", "/v1/push-tokens", {**TOKEN, "device": "d20"}, 409)


def test_devices_go_with_their_account(town: Town) -> None:
    town.platform("POST", "/v1/push-tokens", TOKEN)
    town.platform("DELETE", "/v1/accounts/a12")
    assert town.platform("GET", "/v1/push-tokens")["items"] == []
