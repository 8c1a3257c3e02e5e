"""The demo town as `var/lab/town.json` tells it: where everything is, and who lives behind which number."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from lab.peers.digest import Credentials
from lab.peers.scripted import SipServer

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Panel:
    """A door panel of the town; `method` is how its door opens: `dtmf` or `http`; `reaches` is what it may dial.

    `access_code` opens its door when `*` and its digits are dialled; empty: it has none.
    """

    name: str
    credentials: Credentials
    door_code: str
    address: str
    relay_url: str
    method: str
    reaches: tuple[str, ...]
    access_code: str


@dataclass(frozen=True)
class Resident:
    """An account of an apartment (a handset, an app) or of a desk, and the loopback address its phone uses."""

    credentials: Credentials
    kind: str
    address: str


@dataclass(frozen=True)
class Mobile:
    """A resident's phone: the account under which it is rung, and its number."""

    account: str
    number: str


@dataclass(frozen=True)
class Apartment:
    """An apartment; `dial` is the number that reaches it, for each panel account that may."""

    house: str
    entrance: str
    number: str
    dial: dict[str, str]
    residents: tuple[Resident, ...]
    note: str
    mobiles: tuple[Mobile, ...] = ()


@dataclass(frozen=True)
class Town:
    """The whole town."""

    sip: SipServer
    api_url: str
    operator_token: str
    panels: tuple[Panel, ...]
    apartments: tuple[Apartment, ...]
    desks: tuple[Resident, ...] = ()
    """Concierge desks with a phone of their own, the first to be rung first."""
    duty_phones: tuple[Mobile, ...] = ()
    """Desks that are a telephone, dialled through a carrier when no other has answered."""

    def panel(self, account: str) -> Panel:
        """The panel of an account."""
        return next(panel for panel in self.panels if panel.credentials.username == account)

    @staticmethod
    def relay_login(panel: Panel) -> tuple[str, str]:
        """User and password of a panel's HTTP relay, from `relay_url` (`http://user:password@address`).

        Raises:
            LookupError: the panel has no relay URL with a login.
        """
        parts = urlsplit(panel.relay_url)
        if parts.username is None or parts.password is None:
            raise LookupError(f"panel {panel.name}: relay_url {panel.relay_url!r} has no user and password")
        return unquote(parts.username), unquote(parts.password)

    def apartment(self, note: str, method: str = "") -> tuple[Apartment, Panel, str]:
        """The first apartment whose note contains a text, a panel that reaches it, and the number to dial there.

        Args:
            note: part of the note, in any case.
            method: when given, the panel's door must open this way.

        Raises:
            LookupError: the town has no such apartment; the text lists the notes it has.
        """
        for apartment in self.apartments:
            if note.lower() not in apartment.note.lower():
                continue
            for account, number in apartment.dial.items():
                panel = self.panel(account)
                if method in ("", panel.method):
                    return apartment, panel, number
        notes = [apartment.note for apartment in self.apartments]
        raise LookupError(f"no apartment noted {note!r} behind a panel with method {method or 'any'!r}; notes: {notes}")


def read_town(path: Path) -> Town:
    """Read `town.json`.

    Raises:
        FileNotFoundError: the stack has never been up: `make up` writes the file.
        KeyError: the file lacks a field.
    """
    told = json.loads(path.read_text(encoding="utf-8"))
    address, _, port = str(told["sip"]["address"]).partition(":")
    return Town(
        SipServer(address, told["sip"]["domain"], int(port or 5060)),
        told["api"]["url"],
        told["api"]["operator_token"],
        tuple(
            Panel(
                panel["name"],
                Credentials(panel["account"], panel["password"]),
                panel["door_code"],
                panel["address"],
                panel["relay_url"] or "",
                panel["method"],
                tuple(str(number) for number in panel["reaches"]),
                panel.get("access_code") or "",
            )
            for panel in told["panels"]
        ),
        tuple(
            Apartment(
                str(apartment["house"]),
                str(apartment["entrance"]),
                str(apartment["number"]),
                {account: str(number) for account, number in apartment["dial"].items()},
                tuple(
                    Resident(
                        Credentials(resident["account"], resident["password"]), resident["kind"], resident["address"]
                    )
                    for resident in apartment["accounts"]
                ),
                apartment["note"],
                tuple(Mobile(phone["account"], phone["number"]) for phone in apartment.get("phones", [])),
            )
            for apartment in told["apartments"]
        ),
        tuple(
            Resident(Credentials(desk["account"], desk["password"]), desk["kind"], desk["address"])
            for desk in sorted(told.get("desks", []), key=lambda desk: int(desk["priority"]))
            if desk["address"]
        ),
        tuple(Mobile(desk["account"], desk["phone"]) for desk in told.get("desks", []) if desk.get("phone")),
    )
