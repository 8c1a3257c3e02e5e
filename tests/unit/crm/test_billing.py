"""Companies are synchronised with billing; billing away leaves what there was and says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from crm_api.adapters.billing import BillingAwayError, CsvBilling, HttpBilling
from crm_api.services.billing import Billing
from crm_api.services.kept import StaleError
from crm_api.services.places import Companies
from lab.billing import ReferenceBilling

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from crm_api.bootstrap import Services
    from crm_api.services.context import Tenant
    from crm_api.services.kept import Document
    from tests.unit.crm.conftest import Clock, Town

CUSTOMER = {"billing_id": "10045", "name": "Homes & Sons", "active": True, "contract": "2026-117"}


@pytest.fixture
def reference() -> Iterator[ReferenceBilling]:
    with ReferenceBilling("a token of billing", [CUSTOMER]) as billing:
        yield billing


@pytest.fixture
def billing(town: Town, services: Services, reference: ReferenceBilling) -> Billing:
    town.platform("PATCH", f"/v1/companies/{town.company}", {"billing_id": "10045"})
    return Billing(services.jobs.context, HttpBilling(reference.url, "a token of billing"))


def test_names_contracts_and_customers_are_taken_over(
    town: Town, billing: Billing, reference: ReferenceBilling
) -> None:
    told = billing.synchronise()
    assert (told["ok"], told["changed"]) == (True, 1)
    company = town.platform("GET", f"/v1/companies/{town.company}")
    assert (company["name"], company["contract"], company["active"]) == ("Homes & Sons", "2026-117", True)
    assert billing.synchronise()["changed"] == 0
    reference.companies[0]["active"] = False
    reference.companies.append({**CUSTOMER, "billing_id": "777"})
    told = billing.synchronise()
    assert (told["changed"], told["unknown_here"]) == (1, ["777"])
    assert not town.platform("GET", f"/v1/companies/{town.company}")["active"]


def customers(town: Town, **names: str) -> dict[str, int]:
    """Make companies of these names, by their ids in billing."""
    bodies = {key: {"name": name, "billing_id": key} for key, name in names.items()}
    return {key: town.platform("POST", "/v1/companies", body)["id"] for key, body in bodies.items()}


def named(town: Town, made: dict[str, int]) -> dict[str, tuple[str, bool, str | None]]:
    found = {key: town.platform("GET", f"/v1/companies/{company}") for key, company in made.items()}
    return {key: (one["name"], one["active"], one["contract"]) for key, one in found.items()}


def billed(billing_id: str, name: str, *, active: bool = True, contract: str | None = None) -> dict[str, object]:
    return {"billing_id": billing_id, "name": name, "active": active, "contract": contract}


def test_a_name_that_another_company_has_keeps_nobody_from_being_updated(
    town: Town, billing: Billing, reference: ReferenceBilling
) -> None:
    made = customers(town, b1="One", b2="Two", b3="Three")
    reference.companies[:] = [
        billed("b1", "Homes", active=False, contract="2026-1"),  # this company here is not known to billing
        billed("b2", "Same", contract="2026-2"),
        billed("b3", "Same", active=False),
    ]
    told = billing.synchronise()
    assert named(town, made) == {
        "b1": ("One", False, "2026-1"), "b2": ("Same", True, "2026-2"), "b3": ("Three", False, None),
    }  # fmt: skip
    assert (told["ok"], told["changed"], [one["billing_id"] for one in told["refused"]]) == (True, 3, ["b1", "b3"])
    assert "'Homes'" in told["refused"][0]["reason"]
    again = billing.synchronise()
    assert (again["changed"], again["refused"]) == (0, told["refused"])


def test_names_that_companies_have_given_up_or_swapped_are_taken_over(
    town: Town, billing: Billing, reference: ReferenceBilling
) -> None:
    made = customers(town, b1="A", b2="B", b3="C", b4="D", b5="E", b6="F")
    wanted = {"b1": "B", "b2": "C", "b3": "A", "b4": "E", "b5": "F", "b6": "G"}
    reference.companies[:] = [billed(key, name) for key, name in wanted.items()]
    told = billing.synchronise()
    assert {key: name for key, (name, _, _) in named(town, made).items()} == wanted
    assert (told["changed"], told["refused"]) == (6, [])


def test_a_company_that_is_changed_by_another_at_that_moment_keeps_nobody_from_being_updated(
    town: Town, billing: Billing, reference: ReferenceBilling, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = customers(town, b1="One", b2="Two")
    reference.companies[:] = [billed("b1", "One", active=False), billed("b2", "Two", active=False)]
    change = Companies.change

    def changed(self: Companies, tenant: Tenant, key: int, values: dict[str, Any]) -> Document:
        if key == made["b1"]:
            raise StaleError("changed by somebody else")
        return change(self, tenant, key, values)

    monkeypatch.setattr(Companies, "change", changed)
    told = billing.synchronise()
    assert told["refused"] == [{"billing_id": "b1", "reason": "changed by somebody else"}]
    assert named(town, made) == {"b1": ("One", True, None), "b2": ("Two", False, None)}


def test_billing_away_leaves_the_last_state_and_says_so(
    town: Town, billing: Billing, reference: ReferenceBilling, clock: Clock
) -> None:
    known_at = billing.synchronise()["state_of_ms"]
    clock.now += 7 * 86_400_000
    reference.fault = 503
    told = billing.synchronise()
    assert (told["ok"], told["state_of_ms"]) == (False, known_at)
    assert "503" in told["reason"]
    assert town.platform("GET", f"/v1/companies/{town.company}")["active"]
    reference.fault = 0
    assert billing.synchronise()["ok"]
    assert reference.asked == 3
    assert billing.synchronise(fresh_ms=600_000)["ok"]
    assert reference.asked == 3, "an answer of just now is good enough"


@pytest.mark.parametrize(
    "answer",
    ['{"companies": 3}', "no json", '{"companies": [{"billing_id": "1", "name": "x", "active": "maybe"}]}', "{}"],
)
def test_an_answer_that_makes_no_sense_changes_nothing(
    town: Town, billing: Billing, reference: ReferenceBilling, answer: str
) -> None:
    reference.raw = answer
    told = billing.synchronise()
    assert not told["ok"]
    assert town.platform("GET", f"/v1/companies/{town.company}")["name"] == "Homes"


def test_a_wrong_token_is_told(reference: ReferenceBilling) -> None:
    with pytest.raises(BillingAwayError, match="401"):
        HttpBilling(reference.url, "another").companies()


def test_billing_as_a_file(tmp_path: Path) -> None:
    path = tmp_path / "billing.csv"
    path.write_bytes("billing_id;name;active;contract\r\n10045;Дома;да;2026-117\r\n7;Other;no;\r\n".encode("cp1251"))
    first, second = CsvBilling(path).companies()
    assert (first.name, first.active, first.contract) == ("Дома", True, "2026-117")
    assert (second.active, second.contract) == (False, None)
    path.write_text("billing_id;name;active\n1;x;perhaps\n", encoding="utf-8")
    with pytest.raises(BillingAwayError, match="row 2: active is 'perhaps'"):
        CsvBilling(path).companies()
    with pytest.raises(BillingAwayError, match="No such file"):
        CsvBilling(tmp_path / "none.csv").companies()
