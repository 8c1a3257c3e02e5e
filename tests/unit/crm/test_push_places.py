"""Where a push says that the visitor stands, and whose picture of him it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from crm_api.services.pushing import Wanted
from tests.unit.crm.test_pushing import Service, played

if TYPE_CHECKING:
    from crm_api.services.context import Context
    from tests.unit.crm.conftest import Town
    from tests.unit.crm.fakes import FakePanelDriver


@pytest.mark.parametrize("first", ["duty", "a12"])
def test_a_desk_beside_a_household_takes_nothing_from_its_push(
    town: Town, context: Context, driver: FakePanelDriver, first: str
) -> None:
    """Whichever of their devices has been known for longer."""
    town.platform("POST", "/v1/accounts", {"account": "duty", "kind": "concierge", "company_id": town.company})
    town.platform("POST", "/v1/concierge-desks", {"account": "duty", "name": "Duty"})
    for account in sorted(("duty", "a12"), key=lambda name: name != first):
        body = {"account": account, "device": "pixel", "platform": "fcm", "token": f"token-of-{account}-{'x' * 20}"}
        town.platform("POST", "/v1/push-tokens", body)
    service = Service()
    wanted = Wanted("c1", context.now_ms(), "p2", "2112", 0, 30, "Gate", ["duty", "a12"])
    played(context, {"fcm": service}, lambda pushes: pushes.begin(wanted), driver)
    calls = [push.data for _, push in service.sent if push.data["type"] == "call"]
    assert {call["account"] for call in calls} == {"duty", "a12"}
    for call in calls:
        assert (call["house"], call["entrance"]) == ("Lenina 1", "1")
        assert town.client.simulate_get(call["picture_url"].removeprefix("https://crm.example")).status_code == 200
