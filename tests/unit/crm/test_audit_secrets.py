"""That a secret was changed is told, and never which."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_api.services.audit import HIDDEN
from tests.unit.crm.furnished import entries, newest

if TYPE_CHECKING:
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Town


def test_a_changed_secret_is_told_without_the_secret(town: Town, database: CrmDatabase) -> None:
    panel = town.platform("GET", "/v1/panels")["items"][0]["id"]
    body = {
        "credentials": {"user": "root", "password": "a panel's password"},
        "doors": [{"method": "dtmf", "dtmf": "95"}],
    }
    town.platform("PATCH", f"/v1/panels/{panel}", body)
    after = town.platform("GET", "/v1/audit?limit=1")["items"][0]["after"]
    assert after["credentials"] == HIDDEN
    assert after["doors"][0]["dtmf"] == HIDDEN
    town.platform("POST", "/v1/accounts/h12/rotate-password")
    rotated = town.platform("GET", "/v1/audit?limit=1")["items"][0]
    assert (rotated["action"], rotated["after"]["password"]) == ("rotate password", HIDDEN)
    assert "a panel's password" not in str(entries(database))
    assert "root" not in str(entries(database))


def test_a_changed_secret_of_a_webhook_is_told_without_the_secret(town: Town, database: CrmDatabase) -> None:
    api, hook = town.platform, {"webhook_url": "https://x.example/h"}
    first, second = "0123456789abcdef", "fedcba9876543210"
    centre = api("POST", "/v1/emergency-centres", {"city_id": 1, "name": "c", **hook, "webhook_secret": first})["id"]
    api("PATCH", f"/v1/emergency-centres/{centre}", {"webhook_secret": second})
    told = newest(town, "limit=1")[0]
    assert (told["noun"], told["after"]["webhook_secret"]) == ("emergency centre", HIDDEN)
    rules = f"/v1/companies/{town.company}/emergency-rules"
    secrets = []
    for secret in (first, first, second, None):
        api("PUT", rules, {**hook, "webhook_secret": secret})
        told = newest(town, "limit=1")[0]
        secrets.append((told["before"].get("webhook_secret", "same"), told["after"].get("webhook_secret", "same")))
    assert secrets == [(None, HIDDEN), ("same", "same"), (HIDDEN, HIDDEN), (HIDDEN, None)]
    assert not [secret for secret in (first, second) if secret in str(entries(database))]
