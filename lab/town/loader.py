"""Loads the demo town through the REST API and writes `town.json`.

Runs again as often as wanted: what is there is found. Passwords are shown by the API once, so they come from the
`town.json` of the run that made them; an account whose password is in no file gets a new one.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from lab.town import demo
from lab.town.api_client import ApiClient


class TownLoader:
    """One run of the loader."""

    def __init__(self, api: ApiClient, known_passwords: dict[str, str]) -> None:
        self._api = api
        self._passwords = known_passwords
        self._companies: dict[str, int] = {}
        """By the address of each of its houses."""
        self._entrances: dict[tuple[str, int], int] = {}
        self._houses: dict[str, int] = {}
        self._apartments: dict[tuple[str, int], dict[str, Any]] = {}

    def load(self, api_url: str, operator_token: str, sip_address: str, domain: str) -> dict[str, Any]:
        """Make everything; return what `town.json` holds."""
        self._load_places()
        panels = [self._panel(panel) for panel in demo.PANELS]
        for desk in demo.DESKS:
            self._load_desk(desk)
        for household in demo.HOUSEHOLDS:
            self._load_household(household)
        for household in demo.HOUSEHOLDS:
            self._load_rules(household)
        self._load_trunks()
        self._load_emergency()
        return {
            "sip": {"address": sip_address, "domain": domain},
            "api": {"url": api_url, "operator_token": operator_token},
            "panels": [self._told_panel(panel, row) for panel, row in zip(demo.PANELS, panels, strict=True)],
            "apartments": [self._told_apartment(household) for household in demo.HOUSEHOLDS],
            "trunks": [{"name": t.name, "address": t.address, "login": t.login} for t in demo.TRUNKS],
            "desks": [
                {
                    "account": desk.account,
                    "password": self._passwords[desk.account],
                    "kind": "concierge",
                    "address": desk.address,
                    "name": desk.name,
                    "house": desk.house,
                    "priority": desk.priority,
                    "phone": desk.phone,
                }
                for desk in demo.DESKS
            ],
            "emergency": {
                "trunks": dict(demo.EMERGENCY_TRUNKS),
                "centre": demo.CENTRE,
                "pool": demo.POOL,
                "shared_number": demo.SHARED_NUMBER,
            },
            "dispatch_centre": {
                "account": demo.DISPATCH,
                "password": self._passwords[demo.DISPATCH],
                "kind": "trunk",
                "address": "127.0.3.112",
            },
        }

    def _account(self, name: str, kind: str, **more: Any) -> None:
        found = self._api.found("accounts", account=name)
        if found is None:
            made = self._api.request("POST", "/v1/accounts", {"account": name, "kind": kind, **more})
            self._passwords[name] = made["password"]
        elif name not in self._passwords:
            self._passwords[name] = self._api.rotated(name)

    def _load_places(self) -> None:
        self._account(demo.DISPATCH, "trunk")
        city = self._api.made("cities", {"name": demo.CITY}, dispatch_account=demo.DISPATCH, fias_id=demo.FIAS_ID)
        for company in demo.COMPANIES:
            made = self._api.made(
                "companies",
                {"name": company.name},
                city_id=city["id"],
                language=company.language,
                neighbour_calls=company.neighbour_calls,
                message_limit_s=company.message_limit_s,
                records_calls=company.records_calls,
            )
            for address, entrances in company.houses.items():
                self._load_house(address, entrances, made["id"], city["id"])

    def _load_house(self, address: str, entrances: tuple[int, ...], company_id: int, city_id: int) -> None:
        latitude, longitude = demo.POINTS[address]
        house = self._api.made(
            "houses",
            {"company_id": company_id, "address": address},
            city_id=city_id,
            latitude=latitude,
            longitude=longitude,
        )
        self._companies[address], self._houses[address] = company_id, house["id"]
        for number in entrances:
            entrance = self._api.made("entrances", {"house_id": house["id"], "number": number})
            self._entrances[address, number] = entrance["id"]

    def _load_trunks(self) -> None:
        city = self._api.found("cities", name=demo.CITY)
        for trunk in demo.TRUNKS:
            user, password = trunk.login or (None, None)
            self._api.made(
                "trunks",
                {"name": trunk.name},
                address=trunk.address,
                username=user,
                password=password,
                price_per_minute_micros=trunk.price_per_minute_micros,
                routes=[
                    {
                        "city_id": city["id"] if city else None,
                        "position": trunk.position,
                        "caller_number": trunk.caller_number,
                    }
                ],
            )

    def _load_emergency(self) -> None:
        """Give the city a dispatch centre, two lines to it, a few numbers, and each house its point."""
        city = self._api.found("cities", name=demo.CITY)
        city_id = city["id"] if city else None
        for name, address in demo.EMERGENCY_TRUNKS:
            self._api.made("trunks", {"name": name}, address=address)
        self._api.made(
            "emergency-centres",
            {"city_id": city_id},
            name=f"{demo.CITY} dispatch centre",
            trunks=[
                {"trunk": "city-line", "caller_in": "both", "sends_location": True},
                {"trunk": "second-line", "caller_in": "from", "sends_location": False},
            ],
            **demo.CENTRE,
        )
        for number in (demo.SHARED_NUMBER, *demo.POOL):
            shared = number == demo.SHARED_NUMBER
            self._api.made("city-numbers", {"number": number}, city_id=city_id, trunk="city-line", shared=shared)

    def _panel(self, panel: demo.DemoPanel) -> dict[str, Any]:
        company_id = self._companies[panel.places[0][0]]
        self._account(panel.account, "panel", company_id=company_id)
        user, password = panel.relay_login
        places = [
            {"entrance_id": self._entrances[house, entrance], "code": code}
            if entrance is not None
            else {"house_id": self._houses[house], "code": code}
            for house, entrance, code in panel.places
        ]
        found = self._api.found("panels", company_id=company_id, name=panel.name)
        row: dict[str, Any] = found or self._api.request(
            "POST",
            "/v1/panels",
            {
                "account": panel.account,
                "name": panel.name,
                "driver": "beward",
                "address": panel.address,
                "credentials": {"user": user, "password": password},
                "places": places,
                "doors": [{"output": 1, "name": "Door", "method": panel.method, "dtmf": panel.door_code}],
            },
        )
        if panel.access_code is not None and found is None:
            entrances = [self._entrances[house, entrance] for house, entrance, _ in panel.places if entrance]
            body = {"entrance_id": entrances[0], "code": panel.access_code, "note": "demo"}
            self._api.request("POST", "/v1/access-codes", body)
        return row

    def _load_desk(self, desk: demo.Desk) -> None:
        self._account(desk.account, "concierge", company_id=self._companies[desk.house])
        house_id = self._houses[desk.house]
        known = self._api.request("GET", f"/v1/concierge-desks?house_id={house_id}")["items"]
        if not any(row["account"] == desk.account for row in known):
            body = {"account": desk.account, "name": desk.name, "priority": desk.priority, "phone": desk.phone}
            self._api.request("POST", "/v1/concierge-desks", {**body, "house_id": house_id})

    def _load_household(self, household: demo.Household) -> None:
        entrance_id = self._entrances[household.house, household.entrance]
        apartment = self._api.made("apartments", {"entrance_id": entrance_id, "number": household.number})
        self._apartments[household.house, household.number] = apartment
        residents: dict[str | None, dict[str, int]] = {None: {}}
        for place, name in enumerate(household.residents, start=1):
            home = {"apartment_id": apartment["id"], "role": "owner", "ring_order": place}
            key = {"company_id": self._companies[household.house], "name": name}
            residents[name] = {"resident_id": self._api.made("residents", key, apartments=[home])["id"]}
        for phone in household.phones:
            self._phone(phone, apartment_id=apartment["id"], **residents[phone.resident])
        for mobile in household.mobiles:
            self._mobile(mobile, apartment["id"], self._companies[household.house])

    def _phone(self, phone: demo.Phone, **whose: int) -> None:
        quiet = {} if phone.quiet is None else {"quiet_from": phone.quiet[0], "quiet_until": phone.quiet[1]}
        self._account(phone.account, phone.kind, **whose, **quiet)
        if phone.wakes:
            key = {"account": phone.account, "device": "demo"}
            known = self._api.request("GET", f"/v1/push-tokens?account={phone.account}")["items"]
            if not any(row["device"] == key["device"] for row in known):
                body = {**key, "platform": "webhook", "token": f"{demo.APP_MAKER}/hook/{phone.account}"}
                self._api.request("POST", "/v1/push-tokens", body)

    def _mobile(self, mobile: demo.MobilePhone, apartment_id: int, company_id: int) -> None:
        """A resident with a phone, and the account under which it is rung."""
        home = {"apartment_id": apartment_id, "role": "owner"}
        resident = self._api.made(
            "residents",
            {"company_id": company_id, "name": mobile.resident},
            phones=[mobile.number],
            apartments=[home],
        )
        if self._api.found("accounts", account=mobile.account) is None:
            self._api.request(
                "POST",
                "/v1/accounts",
                {
                    "account": mobile.account,
                    "kind": "phone",
                    "apartment_id": apartment_id,
                    "resident_id": resident["id"],
                    "phone": mobile.number,
                },
            )

    def _load_rules(self, household: demo.Household) -> None:
        apartment_id = self._apartments[household.house, household.number]["id"]
        kinds = {"all", "handset", "indoor_unit", "app", "home_gateway", "phone"}
        if household.stages:
            stages = [
                {
                    "ring_timeout_s": stage.ring_timeout_s,
                    "targets": [{"kind": t} if t in kinds else {"account": t} for t in stage.targets],
                    "confirm": stage.confirm,
                    "one_by_one": stage.one_by_one,
                    "on_refusal": stage.on_refusal,
                }
                for stage in household.stages
            ]
            self._api.made("ring-plans", {"apartment_id": apartment_id}, name=household.note[:60], stages=stages)
        if household.block is not None:
            stops_calls, stops_opening = demo.BLOCK_KINDS[household.block]
            kind = self._api.made(
                "block-kinds",
                {"company_id": self._companies[household.house], "name": household.block},
                stops_calls=stops_calls,
                stops_opening=stops_opening,
            )
            self._api.made("blocks", {"apartment_id": apartment_id}, kind_id=kind["id"], reason=household.note)

    def _told_panel(self, panel: demo.DemoPanel, row: dict[str, Any]) -> dict[str, Any]:
        reaches = [
            dial[panel.account] for household in demo.HOUSEHOLDS if panel.account in (dial := self._dial(household))
        ]
        return {
            "name": panel.name,
            "account": panel.account,
            "password": self._passwords[panel.account],
            "door_code": panel.door_code,
            "address": panel.address,
            "relay_url": panel.relay_url,
            "method": panel.method,
            "door_id": row["doors"][0]["id"],
            "access_code": panel.access_code,
            "reaches": reaches,
        }

    def _told_apartment(self, household: demo.Household) -> dict[str, Any]:
        return {
            "house": household.house,
            "entrance": household.entrance,
            "number": household.number,
            "dial": self._dial(household),
            "accounts": [
                {
                    "account": phone.account,
                    "password": self._passwords[phone.account],
                    "kind": phone.kind,
                    "address": phone.address,
                }
                for phone in household.phones
            ],
            "phones": [{"account": mobile.account, "number": mobile.number} for mobile in household.mobiles],
            "note": household.note,
        }

    def _dial(self, household: demo.Household) -> dict[str, str]:
        """Numbers as the CRM tells them (panels were made before the apartments)."""
        dial: dict[str, str] = self._apartments[household.house, household.number]["dial"]
        return dial


def passwords_of(town: Path) -> dict[str, str]:
    """Return the passwords that an earlier run wrote; {} when there was none."""
    if not town.exists():
        return {}
    told = json.loads(town.read_text(encoding="utf-8"))
    rows = [
        *told["panels"],
        *told.get("desks", []),
        told["dispatch_centre"],
        *(a for flat in told["apartments"] for a in flat["accounts"]),
    ]
    return {row["account"]: row["password"] for row in rows}


def load_town(*, api_url: str, token: str, town: Path, sip_address: str, domain: str, operator_token: str = "") -> None:
    """Load the demo town and write `town` (mode 0600: it holds passwords).

    Args:
        api_url: base URL of the CRM, such as `http://127.0.0.50:8080`.
        token: a platform token: cities and companies are made with it.
        town: the file to write, and to take known passwords from.
        sip_address: `host:port` of Kamailio.
        domain: SIP domain.
        operator_token: the token that the file tells; the platform's when left out.
    """
    loader = TownLoader(ApiClient(api_url, token), passwords_of(town))
    told = loader.load(api_url, operator_token or token, sip_address, domain)
    told["api"]["operator_may"] = "act for its company" if operator_token else "act for every company"
    fresh = town.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    fresh.replace(town)


def main() -> None:
    """Load from the command line."""
    parser = argparse.ArgumentParser(prog="lab.town.loader", description=__doc__)
    parser.add_argument("--api-url", default="http://127.0.0.50:8080")
    parser.add_argument("--token", required=True, help="a platform token")
    parser.add_argument("--operator-token", default="", help="the token to write into the file")
    parser.add_argument("--town", type=Path, default=Path("var/lab/town.json"))
    parser.add_argument("--sip-address", default="127.0.0.10:5060")
    parser.add_argument("--domain", default="entryphone.test")
    asked = parser.parse_args()
    load_town(
        api_url=asked.api_url,
        token=asked.token,
        operator_token=asked.operator_token,
        town=asked.town,
        sip_address=asked.sip_address,
        domain=asked.domain,
    )
    print(f"{asked.town}: {len(demo.HOUSEHOLDS)} apartments behind {len(demo.PANELS)} panels")


if __name__ == "__main__":
    main()
