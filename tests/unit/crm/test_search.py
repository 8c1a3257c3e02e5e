# ruff: noqa: RUF001 - operators write Russian
from __future__ import annotations

import csv
import importlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_api import migrations
from crm_api.domain import key_numbers
from crm_api.domain.search_text import search_text, words
from crm_api.services.search import KEY_READINGS, apartment_of, phone_end
from tests.unit.crm.conftest import Api, empty_database

if TYPE_CHECKING:
    from pathlib import Path

    from crm_api.bootstrap import Services
    from tests.unit.crm.conftest import Town


@pytest.fixture
def fund(town: Town) -> dict[str, Any]:
    """A house in Cyrillic with an apartment, a family, a phone that rings, a key and a panel."""
    office = town.platform
    house = office("POST", "/v1/houses", {"company_id": town.company, "address": "г. Берёзов, ул. Ленина, д. 1А"})
    longer = {"company_id": town.company, "address": "г. Берёзов, ул. Ленина, д. 1А, корп. 2"}
    office("POST", "/v1/houses", longer)
    entrance = office("POST", "/v1/entrances", {"house_id": house["id"], "number": 2})["id"]
    apartment = office("POST", "/v1/apartments", {"entrance_id": entrance, "number": 77})["id"]
    home = [{"apartment_id": apartment, "role": "owner"}]
    anna = {"company_id": town.company, "name": "Анна", "phones": ["+79123456789", "+79120000001"], "apartments": home}
    resident = office("POST", "/v1/residents", anna)["id"]
    phone = {"account": "f77", "kind": "phone", "apartment_id": apartment, "phone": "+79123456780"}
    office("POST", "/v1/accounts", phone)
    office("POST", "/v1/accounts", {"account": "a77-anna", "kind": "app", "apartment_id": apartment})
    key = office("POST", "/v1/keys", {"number": "00C688AC", "apartment_id": apartment})["id"]
    office("POST", "/v1/accounts", {"account": "p77001", "kind": "panel", "company_id": town.company})
    places = [{"entrance_id": entrance}]
    panel = {"account": "p77001", "name": "Ленина 1А, подъезд 2", "places": places, "doors": []}
    panel_id = office("POST", "/v1/panels", panel)["id"]
    return {"house": house["id"], "apartment": apartment, "resident": resident, "key": key, "panel": panel_id}


def found(api: Api, text: str, **more: Any) -> list[tuple[str, str]]:
    query = "&".join(f"{name}={value}" for name, value in more.items())
    items = api("GET", f"/v1/search?q={text.replace('+', '%2B')}&{query}")["items"]
    for item in items:
        assert api("GET", item["href"]), "what was found can be read at its address"
    return [(item["noun"], item["key"]) for item in items]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("г. Берёзов, ул. Ленина, д. 1А", "house"),
        ("ленина 1а", "house"),
        ("ЛЕНИНА", "house"),
        ("берез", "house"),
        ("Ленина 1а 77", "apartment"),
        ("ленина 1А, кв. 77", "apartment"),
        ("+7 912 345-67-89", "resident"),
        ("8 (912) 345-67-89", "resident"),
        ("345-67-89", "resident"),
        ("6789", "resident"),
        ("00C688AC", "key"),
        ("00:c6:88:ac", "key"),
        ("0013011116", "key"),
        ("198,34988", "key"),
        ("AC88C600", "key"),
        ("p77001", "panel"),
        ("P77", "panel"),
    ],
)
def test_whatever_an_operator_knows_leads_there(town: Town, fund: dict[str, Any], text: str, first: str) -> None:
    assert found(town.platform, text)[0] == (first, str(fund[first]))


def test_accounts_are_found_by_their_begin_and_phones_by_their_end(town: Town, fund: dict[str, Any]) -> None:
    assert found(town.platform, "a77-anna") == [("account", "a77-anna")]
    assert found(town.platform, "A77") == [("account", "a77-anna")]
    assert found(town.platform, "6780") == [("account", "f77")]
    assert ("panel", str(fund["panel"])) in found(town.platform, "подъезд ленина")


def test_a_result_tells_what_it_is_and_where(town: Town, fund: dict[str, Any]) -> None:
    (item,) = town.platform("GET", "/v1/search?q=4567%2089%20&limit=5")["items"] or [None]
    assert item == {
        "noun": "resident",
        "key": str(fund["resident"]),
        "href": f"/v1/residents/{fund['resident']}",
        "company_id": town.company,
        "title": "Анна",
        "address": "г. Берёзов, ул. Ленина, д. 1А",
        "apartment": "77",
        "matched": "+79123456789",
    }


def test_the_shortest_text_with_the_whole_words_comes_first(town: Town) -> None:
    for number in ("12", "10", "1, block 4", "1"):
        town.platform("POST", "/v1/houses", {"company_id": town.company, "address": f"Elm street {number}"})
    items = town.platform("GET", "/v1/search?q=elm%201")["items"]
    addresses = [item["title"] for item in items]
    assert addresses[:2] == ["Elm street 1", "Elm street 1, block 4"]
    assert set(addresses[2:]) == {"Elm street 10", "Elm street 12"}
    assert len(town.platform("GET", "/v1/search?q=elm%201&limit=2")["items"]) == 2


def test_what_is_changed_is_found_by_its_new_name_only(town: Town, fund: dict[str, Any]) -> None:
    town.platform("PATCH", f"/v1/houses/{fund['house']}", {"address": "Oak lane 3"})
    town.platform("PATCH", f"/v1/panels/{fund['panel']}", {"name": "North gate"})
    assert found(town.platform, "oak")[0] == ("house", str(fund["house"]))
    assert found(town.platform, "north") == [("panel", str(fund["panel"]))]
    assert ("house", str(fund["house"])) not in found(town.platform, "ленина")


def test_an_imported_house_is_found(town: Town) -> None:
    headers = town.platform._headers
    town.client.simulate_post(
        f"/v1/imports/houses?company_id={town.company}", body="address\nПолевая 5\n", headers=headers
    )
    assert [noun for noun, _ in found(town.platform, "полевая")] == ["house"]


@pytest.mark.parametrize("text", ["ленина", "Ленина 1а 77", "6789", "6780", "00C688AC", "a77-anna", "p77001"])
def test_another_company_finds_nothing(town: Town, fund: dict[str, Any], services: Services, text: str) -> None:
    assert fund
    town.platform("POST", "/v1/companies", {"name": "Strangers"})
    stranger = Api(town.client, services.tokens.create("stranger", "operator", "Strangers"))
    own = Api(town.client, services.tokens.create("own", "operator", "Homes"))
    assert found(stranger, text) == []
    assert found(own, text) == found(town.platform, text) != []
    assert found(town.platform, text, company_id=town.company) == found(town.platform, text)
    stranger("GET", f"/v1/search?q={text}&company_id={town.company}", expect=404)


@pytest.mark.parametrize("text", ["", "x", "a" * 221, "%00%00", "%0A%0A"])
def test_what_cannot_be_searched(town: Town, text: str) -> None:
    assert town.platform("GET", f"/v1/search?q={text}", expect=422)["errors"][0]["field"] == "q"


@pytest.mark.parametrize("text", ["%25%25", "__", "' OR 1=1 --", "((((", "-- --", "%5C%5C", "zzz"])
def test_what_nobody_has_is_not_found(town: Town, text: str) -> None:
    assert found(town.platform, text) == []


def test_phones_keys_and_apartments_are_told_apart() -> None:
    assert phone_end("8 912 345-67-89") == "79123456789"
    assert phone_end("123") is None
    assert phone_end("Lenina 1234") is None
    assert key_numbers.meant("00112233", KEY_READINGS) == ["112233", "33221100", "01B669", "69B60100"]


@pytest.mark.parametrize(
    ("text", "address", "apartment"),
    [
        ("lenina 1 77", "lenina 1", "77"),
        ("lenina 1, apt 77", "lenina 1,", "77"),
        ("Ленина 1, КВ.77", "Ленина 1,", "77"),
        ("ленина 1 кв77.", "ленина 1", "77"),
        ("ленина 1, кв. 12-А", "ленина 1,", "12-А"),
        ("ленина 1, квартира А", "ленина 1,", "А"),
        ("ленина 1, кв. 5, кв. 6", "ленина 1, кв. 5,", "6"),
        ("ленина 1 12а", "ленина 1", "12а"),
        ("квартальная 7", "квартальная", "7"),
        ("ленина", "ленина", None),
        ("77", "77", None),
        ("кв 77", "кв 77", None),
        (" ", "", None),
    ],
)
def test_an_apartment_stands_at_the_end_of_an_address(text: str, address: str, apartment: str | None) -> None:
    found, number = apartment_of(text)
    assert (found.strip(), number) == (address, apartment)


def test_an_apartment_is_found_by_a_long_address_and_no_other(town: Town) -> None:
    """With more words than are needed to tell it, the apartment's number counts all the same, and the house's."""
    office = town.platform
    street = "Свердловская область, г. Екатеринбург, мкр. Широкая Речка, ул. Академика Сергея Королёва"
    apartments = {}
    for end in ("д. 1, корп. 1", "д. 1, корп. 2", "д. 2, корп. 2"):
        house = office("POST", "/v1/houses", {"company_id": town.company, "address": f"{street}, {end}"})["id"]
        entrance = office("POST", "/v1/entrances", {"house_id": house, "number": 1})["id"]
        for number in (1, 2, 12):
            body = {"entrance_id": entrance, "number": number}
            apartments[end, number] = office("POST", "/v1/apartments", body)["id"]
    for (end, number), key in apartments.items():
        assert found(office, f"{street}, {end}, кв. {number}")[0] == ("apartment", str(key))
    shorter = "г Екатеринбург, ул Академика Сергея Королева, д 1, корп 2, кв 12"
    assert found(office, shorter)[0] == ("apartment", str(apartments["д. 1, корп. 2", 12]))


def test_an_address_may_be_as_long_as_one_that_is_kept(town: Town) -> None:
    address = " ".join(f"слово{n}" for n in range(30))[:200]
    body = {"company_id": town.company, "address": address}
    house = town.platform("POST", "/v1/houses", body)["id"]
    entrance = town.platform("POST", "/v1/entrances", {"house_id": house, "number": 1})["id"]
    apartment = town.platform("POST", "/v1/apartments", {"entrance_id": entrance, "number": 12})["id"]
    assert found(town.platform, address) == [("house", str(house))]
    assert found(town.platform, f"{address}, кв. 12")[0] == ("apartment", str(apartment))


def test_an_apartment_is_found_by_what_its_door_says(town: Town) -> None:
    body = {"entrance_id": town.entrance, "number": 212, "label": "12А"}
    apartment = str(town.platform("POST", "/v1/apartments", body)["id"])
    for text in ("lenina 1, кв. 12А", "lenina 1 12а", "lenina 1, кв 212"):
        assert found(town.platform, text) == [("apartment", apartment)], text
    assert found(town.platform, "lenina 1, кв 12") == [("apartment", str(town.apartment))]
    office = {"entrance_id": town.entrance, "number": 213, "label": "Office 3/B"}
    second = str(town.platform("POST", "/v1/apartments", office)["id"])
    assert found(town.platform, "lenina 1, flat Office 3/B") == [("apartment", second)]
    (listed,) = town.platform("GET", f"/v1/apartments?house_id={town.house}&label=12А")["items"]
    assert str(listed["id"]) == apartment


def test_a_key_is_found_as_its_export_writes_it(town: Town) -> None:
    key = town.platform("POST", "/v1/keys", {"number": "C688AC", "apartment_id": town.apartment})["id"]
    for notation in ("hex", "decimal", "wiegand"):
        for order in ("high_first", "low_first"):
            query = f"notation={notation}&byte_order={order}"
            if (notation, order) == ("wiegand", "low_first"):
                continue  # the lower three bytes of other ones: not to be turned round again
            answer = town.client.simulate_get("/v1/keys/export", query_string=query, headers=town.platform._headers)
            number = answer.text.splitlines()[1].partition(",scope")[0]
            number = next(csv.reader([number]))[0]
            assert ("key", str(key)) in found(town.platform, number), query


@given(st.text(max_size=60))
def test_every_text_is_made_of_its_words(text: str) -> None:
    assert search_text(text).split() == words(text)
    assert words(search_text(text)) == words(text)


def test_the_words_of_what_was_there_before_are_filled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = migrations.names()
    for database in empty_database(tmp_path):
        monkeypatch.setattr(migrations, "names", lambda: [name for name in everything if name < "m0008"])
        migrations.migrate(database)
        database.rows(
            "INSERT INTO companies (id, name, language, active, ring_timeout_s, talk_limit_s, created_at_ms) "
            "VALUES (1, 'Homes', 'en', ?, 30, 60, 1)",
            (True,),
        )
        database.rows("INSERT INTO houses (id, company_id, address) VALUES (1, 1, 'ул. Ёлочная, 3')")
        importlib.invalidate_caches()
        monkeypatch.undo()
        assert "m0008_search" in migrations.migrate(database)
        assert database.rows("SELECT search_text FROM houses") == [(" ул елочная 3 ",)]


def test_who_has_no_company_any_more_finds_nothing(town: Town, services: Services) -> None:
    company = town.platform("POST", "/v1/companies", {"name": "Short-lived"})["id"]
    account = {"name": "program", "role": "admin", "companies": [company]}
    program = town.platform("POST", "/v1/service-accounts", account)["id"]
    made = town.platform("POST", "/v1/tokens", {"service_account_id": program, "name": "t"})
    town.platform("DELETE", f"/v1/companies/{company}")
    api = Api(town.client, made["token"])
    assert api("GET", "/v1/search?q=lenina")["items"] == []
    for path in ("/v1/keys/export", "/v1/reports/entries"):
        query = "" if "keys" in path else f"from_ms=0&to_ms={services.jobs.context.now_ms()}"
        answer = town.client.simulate_get(path, query_string=query, headers=api._headers)
        assert (answer.status_code, len(answer.text.splitlines())) == (200, 1)
