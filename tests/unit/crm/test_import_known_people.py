"""Rows of people whom the company knows already, or whom earlier rows of the file have named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from crm_api.services.delivery import Delivery
from tests.unit.crm.held_writes import written_while_others_wait
from tests.unit.crm.test_imports import counted, problems, send

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from crm_api.services.context import Context
    from tests.unit.crm.conftest import Town
    from tests.unit.crm.fakes import FakeCache

HEADER = "name;address;apartment;phones;note\n"
FIRST, SECOND, THIRD = "+79123456789", "+79123456780", "+79123456781"


def known(town: Town, *, phones: tuple[str, ...] = (FIRST,), note: str | None = None, home: int | None = None) -> Any:
    """Anna, as the company has her."""
    homes = [] if home is None else [{"apartment_id": home, "role": "tenant", "ring_order": 2}]
    body = {"company_id": town.company, "name": "Anna", "phones": phones, "note": note, "apartments": homes}
    return town.platform("POST", "/v1/residents", body)


def known_with_an_app(town: Town) -> Any:
    """Anna at home, with an app of her own there."""
    anna = known(town, home=town.apartment)
    app = {"account": "anna", "kind": "app", "apartment_id": town.apartment, "resident_id": anna["id"]}
    town.platform("POST", "/v1/accounts", app)
    return anna


def read(town: Town, resident: Any) -> Any:
    return town.platform("GET", f"/v1/residents/{resident['id']}")


def homes_of(resident: Any) -> list[int]:
    return [home["apartment_id"] for home in resident["apartments"]]


def rung(plan: Any) -> list[str]:
    return [target["account"] for stage in plan["stages"] for target in stage["targets"]]


def test_the_rows_of_one_person_have_all_his_phones_together(town: Town) -> None:
    text = f"Anna;Lenina 1;12;{FIRST};\nanna;Lenina 1;13;{FIRST}, {SECOND};blue door\nAnna;Sadovaya 7;12;{SECOND};\n"
    assert send(town, "residents", HEADER + text)["result"]["made"] == {"residents": 1, "residencies": 3}
    (anna,) = town.platform("GET", "/v1/residents")["items"]
    assert (anna["phones"], anna["note"], anna["version"]) == ([FIRST, SECOND], "blue door", 1)


def test_a_known_person_gets_the_phones_and_the_note_of_his_rows(town: Town) -> None:
    anna = known(town, home=town.apartment)
    text = f"Anna;Lenina 1;13;{SECOND}, {FIRST};blue door\nAnna;Sadovaya 7;12;{THIRD},{SECOND};blue door\n"
    assert send(town, "residents", HEADER + text)["result"]["made"] == {"residents": 0, "residencies": 2}
    found = read(town, anna)
    assert (found["phones"], found["note"]) == ([FIRST, SECOND, THIRD], "blue door")
    assert homes_of(found)[:2] == [town.apartment, town.neighbour]
    assert len(homes_of(found)) == 3
    more = f"Anna;Lenina 1;13;{FIRST};\n"
    assert problems(send(town, "residents", HEADER + more)) == [(2, "name")]


def test_a_row_that_is_left_out_tells_of_whom_later_rows_are(town: Town) -> None:
    anna = known(town, home=town.apartment)
    text = f"Anna;Lenina 1;12;{FIRST},{SECOND};green door\nAnna;Lenina 1;13;{SECOND};\n"
    result = send(town, "residents", HEADER + text, "&on_existing=skip")["result"]
    assert (result["skipped"], result["made"]) == (1, {"residents": 0, "residencies": 1})
    found = read(town, anna)
    assert (found["phones"], found["note"], len(homes_of(found))) == ([FIRST, SECOND], None, 2)


def test_what_a_person_cannot_have_is_told(town: Town, services: Services) -> None:
    nine = tuple(f"+7912000000{n}" for n in range(9))
    known(town, phones=(*nine, FIRST), note="blue door")
    before = counted(services)
    text = (
        f"Anna;Lenina 1;12;{FIRST},{SECOND};\n"
        f"Anna;Lenina 1;12;{FIRST};green door\n"
        f"Anna;Lenina 1;12;{FIRST};blue door\n"
        f"Olga;Lenina 1;12;{THIRD};blue door\n"
        f"Olga;Lenina 1;13;{THIRD};green door\n"
        f"Olga;Lenina 1;13;{THIRD},{','.join(nine)},{SECOND};\n"
        f"Olga;Lenina 1;13;{THIRD},{','.join(nine)};\n"
    )
    job = send(town, "residents", HEADER + text)
    assert problems(job) == [(2, "phones"), (3, "note"), (6, "note"), (7, "phones")]
    assert counted(services) == before


def test_which_of_two_people_of_one_name_is_meant(town: Town, services: Services) -> None:
    mother = known(town, phones=(FIRST, THIRD), home=town.apartment)
    daughter = known(town, phones=(SECOND, THIRD))
    before = counted(services)
    text = f"Anna;Lenina 1;13;{THIRD};\nAnna;Lenina 1;13;{FIRST},{SECOND};\nAnna;Lenina 1;12;{THIRD};\n"
    assert problems(send(town, "residents", HEADER + text)) == [(2, "phones"), (3, "phones"), (4, "name")]
    assert counted(services) == before
    assert send(town, "residents", f"{HEADER}Anna;Lenina 1;13;{THIRD},{SECOND};\n")["state"] == "done"
    assert (homes_of(read(town, mother)), homes_of(read(town, daughter))) == ([town.apartment], [town.neighbour])


def test_a_change_that_read_the_resident_before_an_import_is_stale(town: Town) -> None:
    anna = known(town, home=town.apartment)
    assert send(town, "residents", f"{HEADER}Anna;Lenina 1;13;{FIRST};\n")["state"] == "done"
    assert read(town, anna)["version"] == anna["version"] + 1
    path, body = f"/v1/residents/{anna['id']}", {"apartments": [{"apartment_id": town.apartment, "role": "owner"}]}
    problem = town.platform("PATCH", path, body, expect=412, if_match=f'"{anna["id"]}-{anna["version"]}"')
    assert problem["type"].endswith(":stale")
    assert homes_of(read(town, anna)) == [town.apartment, town.neighbour]
    job = send(town, "residents", f"{HEADER}Anna;Lenina 1;12;{FIRST};\n", "&on_existing=skip")
    assert (job["result"]["skipped"], read(town, anna)["version"]) == (1, anna["version"] + 1)


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_whoever_is_changed_while_a_file_is_looked_at_fails_it(
    town: Town, services: Services, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    anna = known(town)
    tell = services.jobs.tell

    def meanwhile(taken: Any, rows: int) -> None:
        tell(taken, rows)
        town.platform(method, f"/v1/residents/{anna['id']}", {"phones": [THIRD]} if method == "PATCH" else None)

    with monkeypatch.context() as patched:
        patched.setattr(services.jobs, "tell", meanwhile)
        job = send(town, "residents", f"{HEADER}Olga;Lenina 1;12;{SECOND};\nAnna;Lenina 1;13;{FIRST},{SECOND};\n")
    assert job["state"] == "failed"
    assert "Anna was changed meanwhile" in job["result"]["error"]
    assert counted(services)["residencies"] == 0


def test_many_known_people_are_changed_together(town: Town, services: Services) -> None:
    """More than one statement asks for."""
    rows = "".join(f"Anna {n};Lenina 1;12;+7912{n:07};\n" for n in range(600))
    assert send(town, "residents", HEADER + rows)["result"]["made"]["residents"] == 600
    rows = "".join(f"Anna {n};Lenina 1;13;+7912{n:07},+7913{n:07};\n" for n in range(600))
    assert send(town, "residents", HEADER + rows)["result"]["made"] == {"residents": 0, "residencies": 600}
    database = services.jobs.database
    assert database.rows("SELECT version, count(*) FROM residents GROUP BY version") == [(2, 600)]
    assert database.rows("SELECT position, count(*) FROM resident_phones GROUP BY position ORDER BY 1") == [
        (0, 600), (1, 600),
    ]  # fmt: skip


def test_known_people_are_changed_by_few_statements_while_others_wait(
    town: Town, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "".join(f"Anna {n};Lenina 1;12;+7912{n:07};\n" for n in range(60))
    assert send(town, "residents", HEADER + rows)["result"]["made"]["residents"] == 60
    rows = "".join(f"Anna {n};Lenina 1;13;+7912{n:07},+7913{n:07};\n" for n in range(60))
    held = written_while_others_wait(town, services, monkeypatch, ("residents", HEADER + rows, ""))
    assert len(held.rows) + len(held.executed) < 30, held


def test_plans_that_ring_an_account_of_his_own_are_made_anew_when_he_is_put_back(
    town: Town, context: Context, cache: FakeCache
) -> None:
    anna = known_with_an_app(town)
    stages = [{"ring_timeout_s": 20, "targets": [{"account": "anna"}, {"kind": "handset"}]}]
    town.platform("POST", "/v1/ring-plans", {"apartment_id": town.neighbour, "stages": stages})
    town.platform("PATCH", f"/v1/residents/{anna['id']}", {"apartments": []})
    delivery = Delivery(context, cache)
    delivery.deliver()
    pairs = [("p1", "12"), ("p1", "13"), ("p2", "2112"), ("p2", "2212")]
    plans = {pair: town.plan(*pair) for pair in pairs}
    assert not [pair for pair in pairs if "anna" in rung(plans[pair])]
    cache.plans = dict(plans)
    assert send(town, "residents", f"{HEADER}Anna;Lenina 1;12;{FIRST};\n")["state"] == "done"
    delivery.deliver()
    assert list(cache.plans) == [("p2", "2212")]
    assert ["anna" in rung(town.plan(*pair)) for pair in pairs] == [True, True, True, False]


def test_an_account_of_his_own_elsewhere_is_no_matter_of_another_apartment(
    town: Town, context: Context, cache: FakeCache
) -> None:
    known_with_an_app(town)
    delivery = Delivery(context, cache)
    delivery.deliver()
    cache.plans = {("p1", "12"): "rings her"}
    assert send(town, "residents", f"{HEADER}Anna;Sadovaya 7;12;{FIRST};\n")["state"] == "done"
    delivery.deliver()
    assert list(cache.plans) == [("p1", "12")]


def test_plans_with_a_telephone_are_made_anew_when_somebody_known_gets_its_number(
    town: Town, context: Context, cache: FakeCache
) -> None:
    """In the apartments where he lives already, too."""
    known(town, home=town.apartment)
    for name, apartment, phone in (("f12", town.apartment, SECOND), ("f13", town.neighbour, FIRST)):
        body = {"account": name, "kind": "phone", "apartment_id": apartment, "phone": phone}
        town.platform("POST", "/v1/accounts", body)
    delivery = Delivery(context, cache)
    delivery.deliver()
    pairs = [("p1", "12"), ("p1", "13"), ("p2", "2212")]
    cache.plans = dict.fromkeys(pairs, "rings no telephone")
    assert send(town, "residents", f"{HEADER}Anna;Lenina 1;13;{FIRST};\n")["state"] == "done"
    delivery.deliver()
    assert list(cache.plans) == [("p1", "12"), ("p2", "2212")]
    cache.tombstones.clear()
    cache.plans = dict.fromkeys(pairs, "rings no telephone")
    assert send(town, "residents", f"{HEADER}Anna;Sadovaya 7;12;{FIRST},{SECOND};\n")["state"] == "done"
    delivery.deliver()
    assert cache.plans == {}
