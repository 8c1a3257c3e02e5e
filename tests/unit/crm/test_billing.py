"""Companies are synchronised with billing; billing away leaves what there was and says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from crm_api.adapters.billing import BillingAwayError, CsvBilling, HttpBilling
from crm_api.services.billing import Billing
from lab.billing import ReferenceBilling

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from crm_api.bootstrap import Services
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
