"""Where an account is registered: asked at that moment, and an answer of its own when nobody can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from crm_api.adapters.registrar import RegisteredContact, RegistrarBusyError, RegistrarSilentError
from crm_api.bootstrap import make_services
from crm_api.services.context import Tenant
from tests.unit.crm.conftest import Api

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from crm_api.services.context import Context
    from tests.unit.crm.conftest import Town
    from tests.unit.crm.fakes import FakeRegistrar

HERE = RegisteredContact("10.0.0.7:5070", "udp", "baresip v3", 1_790_000_000_000, 1_790_000_600_000)
THERE = RegisteredContact("198.51.100.7:40123", "tcp", None, 1_790_000_000_000, 1_790_000_600_000)


def shown(contact: RegisteredContact) -> dict[str, Any]:
    return {name: getattr(contact, name) for name in contact.__struct_fields__}


def test_every_device_is_shown(town: Town, registrar: FakeRegistrar) -> None:
    registrar.registered["h12"] = [HERE, THERE]
    found = town.platform("GET", "/v1/accounts/h12/contacts")
    assert found == {"account": "h12", "items": [shown(HERE), shown(THERE)]}
    answer = town.client.simulate_get("/v1/accounts/h12/contacts", headers=town.platform._headers)
    assert answer.headers["Cache-Control"] == "no-store"


def test_whoever_is_offline_has_none(town: Town) -> None:
    assert town.platform("GET", "/v1/accounts/h12/contacts")["items"] == []


def test_a_phone_never_registers_so_nobody_is_asked(town: Town, registrar: FakeRegistrar) -> None:
    registrar.refusal = RegistrarSilentError("silent")
    wanted = {"account": "f12", "kind": "phone", "apartment_id": town.apartment, "phone": "+79001234567"}
    town.platform("POST", "/v1/accounts", wanted)
    assert town.platform("GET", "/v1/accounts/f12/contacts") == {"account": "f12", "items": []}
    assert registrar.asked == []


def test_another_companys_account_is_not_there_and_nobody_is_asked(
    town: Town, services: Services, registrar: FakeRegistrar
) -> None:
    town.platform("POST", "/v1/companies", {"name": "Others"})
    stranger = Api(town.client, services.tokens.create("stranger", "operator", "Others"))
    own = Api(town.client, services.tokens.create("own", "operator", "Homes"))
    refused = stranger("GET", "/v1/accounts/h12/contacts", expect=404)
    assert refused["type"] == "urn:entryphone:problem:not-found"
    assert town.platform("GET", "/v1/accounts/nobody/contacts", expect=404)["type"] == refused["type"]
    assert registrar.asked == []
    assert own("GET", "/v1/accounts/h12/contacts")["items"] == []


@pytest.mark.parametrize(
    ("refusal", "kind", "wait_s"),
    [(RegistrarSilentError("look at its log"), "registrar-silent", "5"), (RegistrarBusyError(), "unavailable", "1")],
)
def test_nobody_can_tell(town: Town, registrar: FakeRegistrar, refusal: Any, kind: str, wait_s: str) -> None:
    registrar.refusal = refusal
    told = town.platform("GET", "/v1/accounts/h12/contacts", expect=503)
    assert told["type"] == f"urn:entryphone:problem:{kind}"
    assert told["detail"] == refusal.detail
    answer = town.client.simulate_get("/v1/accounts/h12/contacts", headers=town.platform._headers)
    assert answer.headers["Retry-After"] == wait_s


def test_a_process_without_a_registrar_says_so(town: Town, context: Context) -> None:
    contacts = make_services(context).account_contacts
    with pytest.raises(RegistrarSilentError):
        contacts.of(Tenant(None), "h12")
    assert town.platform is not None
