from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.crm.conftest import Api

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from tests.unit.crm.conftest import Town


@pytest.fixture
def stranger(town: Town, services: Services) -> Api:
    town.platform("POST", "/v1/companies", {"name": "Others"})
    return Api(town.client, services.tokens.create("stranger", "operator", "Others"))


NOUNS = ("houses", "entrances", "apartments", "panels", "accounts", "block-kinds", "blocks", "ring-plans")


def test_another_company_sees_nothing(town: Town, stranger: Api) -> None:
    kind = {"company_id": town.company, "name": "debt", "stops_calls": True, "stops_opening": True}
    kind_id = town.platform("POST", "/v1/block-kinds", kind)["id"]
    town.platform("POST", "/v1/blocks", {"apartment_id": town.apartment, "kind_id": kind_id, "reason": "x"})
    stages = [{"ring_timeout_s": 9, "targets": [{"kind": "all"}]}]
    town.platform("POST", "/v1/ring-plans", {"apartment_id": town.apartment, "stages": stages})
    for noun in NOUNS:
        kept = town.platform("GET", f"/v1/{noun}")["items"]
        assert kept, noun
        assert stranger("GET", f"/v1/{noun}")["items"] == [], noun
        for row in kept:
            path = f"/v1/{noun}/{row['account'] if noun == 'accounts' else row['id']}"
            stranger("GET", path, expect=404)
            stranger("DELETE", path, expect=404)
    assert [c["name"] for c in stranger("GET", "/v1/companies")["items"]] == ["Others"]
    stranger("GET", f"/v1/companies/{town.company}", expect=404)
    stranger("GET", "/v1/ring-plans/p1/12", expect=404)
    stranger("POST", "/v1/accounts/h12/rotate-password", expect=404)
    stranger("POST", "/v1/doors/1/open", expect=404)


def test_another_company_cannot_build_on_what_it_does_not_own(town: Town, stranger: Api) -> None:
    stranger("POST", "/v1/houses", {"company_id": town.company, "address": "x"}, 404)
    stranger("POST", "/v1/entrances", {"house_id": town.house, "number": 9}, 404)
    stranger("POST", "/v1/apartments", {"entrance_id": town.entrance, "number": 9}, 404)
    stranger("POST", "/v1/accounts", {"kind": "app", "apartment_id": town.apartment}, 404)
    stranger("POST", "/v1/companies", {"name": "More"}, 403)
    stranger("PATCH", "/v1/cities/1", {"name": "More"}, 403)
    stranger("POST", "/v1/accounts", {"account": "p9", "kind": "panel"})
    stranger("POST", "/v1/panels", {"account": "p9", "name": "x", "places": [{"house_id": town.house}]}, 404)


def test_tokens_are_needed_and_limited(town: Town, services: Services) -> None:
    nobody = Api(town.client, "ep_wrong")
    nobody("GET", "/v1/houses", expect=401)
    town.service("GET", "/v1/houses", expect=403)
    town.platform("POST", "/v1/door-openings", {}, 403)
    assert town.client.simulate_get("/health").status_code == 200
    assert "ep_" not in str(services.tokens._context.database.rows("SELECT * FROM tokens"))
