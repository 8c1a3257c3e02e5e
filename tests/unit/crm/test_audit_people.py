"""Who did something is told, also where that is nobody with a token."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from crm_api.services.context import Tenant
from crm_api.services.tokens import HERE
from tests.unit.crm.furnished import entries, newest
from tests.unit.crm.test_access import PASSWORD, log_in, person, staff
from tests.unit.crm.test_call_sounds import kept

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Clock, Town


def test_a_login_its_end_and_a_new_password_are_told(town: Town) -> None:
    made = staff(town)["id"]
    anna = person(town)
    anna("POST", "/v1/me/password", {"current": PASSWORD, "password": "another long pass phrase"})
    anna("POST", "/v1/logout")
    log_in(town, password="wrong wrong wrong", expect=401)
    told = town.platform("GET", f"/v1/audit?principal_id={made}&sort=id")["items"]
    assert [(e["action"], e["noun"], e["who"]) for e in told] == [
        ("log in", "session", "Anna"),
        ("change password", "member of staff", "Anna"),
        ("log out", "session", "Anna"),
    ]


def test_an_import_or_a_task_without_a_person_is_told_too(
    services: Services, town: Town, database: CrmDatabase
) -> None:
    services.houses.change(Tenant(None), town.house, {"address": "Lenina 5"})
    assert entries(database)[-1]["who"] == "platform"
    assert entries(database)[-1]["principal_id"] is None


def test_tokens_that_are_made_outside_the_api_are_told(town: Town, services: Services, database: CrmDatabase) -> None:
    def told() -> list[tuple[str, str, str]]:
        found = newest(town, "sort=id&limit=200")
        return [(e["action"], e["noun"], (e["after"] or e["before"])["name"]) for e in found if e["who"] == HERE.name]

    at_first = told()
    token = services.tokens.create("backdoor", "operator", "Homes")
    made = [("create", "service account", "backdoor"), ("create", "token", "backdoor")]
    assert told() == [*at_first, *made]
    assert [e["company_id"] for e in newest(town, "limit=2")] == [town.company] * 2
    services.tokens.create("backdoor", "platform", replace=True, token="ep_given" + "x" * 32)
    assert told() == [*at_first, *made, ("remove", "service account", "backdoor"), *made]
    assert newest(town, "limit=2")[1]["after"]["role"] == "admin"
    services.tokens.create("backdoor", "platform", replace=True, token="ep_given" + "x" * 32)
    assert len(told()) == len(at_first) + 5, "the same token: nothing has changed"
    assert not [secret for secret in (token, "ep_given") if secret in str(entries(database))]


@pytest.mark.parametrize("kind", ["message", "recording"])
def test_who_hears_a_sound_of_a_call_is_told(town: Town, clock: Clock, kind: str) -> None:
    sound = kept(town, clock.now, kind=kind).json["id"]
    answer = town.client.simulate_get(f"/v1/call-sounds/{sound}/audio", headers=town.platform._headers)
    assert answer.status_code == 200
    told = newest(town, "limit=1")[0]
    assert (told["action"], told["noun"], told["key"], told["who"]) == ("hear", "sound of a call", str(sound), "test")
    assert (told["after"]["kind"], told["company_id"]) == (kind, town.company)
