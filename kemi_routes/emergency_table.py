"""What an emergency call needs of cities and panels, kept in shared memory and on this host's disk.

A process of its own follows the CRM's views: cities and the trunks to their centres every few seconds, panels a page
at each tick. A worker never asks the database. What was known last is written to a file and is there again after a
restart, also when the database is not.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kemi_routes import database, kept_files
from kemi_routes.trunk_addresses import AddressKeeper

if TYPE_CHECKING:
    from KSR import Ksr

TEST_NUMBER = "*112*"
ALWAYS = "112"
_PLACES = "emergency_places"
_CITIES = "emergency_cities"
_SOS = "emergency_sos"
_NUMBERS = "city_numbers"
_DEFAULT = "default"
_RESULT = "emergency"
_CITIES_EVERY_S = 2.0
# Reading all panels may take this part of the time; a few are read as often as the cities.
_PLACES_SHARE = 1 / 250
_PAGE = 1000
_FIRST_APARTMENT, _LAST_APARTMENT = 101, 104

_CITY_COLUMNS = "city_id, name, country, number, trunk, centre, public_number, test_number, records_calls"
_CITY_QUERY = f"select {_CITY_COLUMNS} from kamailio_emergency_cities order by city_id"  # noqa: S608 - constants
_WAY_QUERY = (
    "select city_id, trunk, caller_in, sends_location from kamailio_emergency_trunks order by city_id, position"
)
_TRUNK_QUERY = "select name, address from kamailio_trunks order by name"
_NUMBER_QUERY = "select number, trunk from kamailio_city_numbers"
_APARTMENT_QUERY = "select account, number from kamailio_emergency_apartments"
_PLACE_QUERY = (
    "select account, city_id, address, entrance, latitude, longitude, numbers, sos_number, language "
    "from kamailio_emergency_panels where account > '%s' order by account limit %d"
)


class Way(NamedTuple):
    """A trunk to a dispatch centre: what is dialled there, where it looks for the caller, whether it takes a place."""

    trunk: str
    number: str
    caller_in: str
    sends_location: bool


class City(NamedTuple):
    """A city: its shared number and that number's trunk, the ways to its dispatch centre in order, its test number."""

    city_id: str
    name: str
    country: str
    number: str
    trunk: str
    test_number: str
    records_calls: bool
    ways: tuple[Way, ...]


class Place(NamedTuple):
    """A panel: its city, where it stands (degrees in millionths, as text; empty: not known), its emergency numbers."""

    city_id: str
    address: str
    entrance: int
    latitude: str
    longitude: str
    numbers: tuple[str, ...]
    language: str = "en"

    def spoken(self) -> str:
        """Return the address as it is said: letters, digits and spaces only."""
        text = " ".join("".join(char if char.isalnum() else " " for char in self.address).split())
        return f"{text} {self.entrance}" if self.entrance else text


def place(ksr: Ksr, account: str) -> Place | None:
    """Find a panel by its account; None when it is not known here."""
    entry = ksr.htable.sht_get(_PLACES, account)
    if not isinstance(entry, str):
        return None
    city_id, address, entrance, latitude, longitude, numbers, language = json.loads(entry)
    return Place(city_id, address, entrance, latitude, longitude, tuple(numbers), language)


def is_panel(ksr: Ksr, account: str) -> bool:
    """Say whether an account is a panel's."""
    return ksr.htable.sht_get(_PLACES, account) is not None


def city(ksr: Ksr, city_id: str) -> City | None:
    """Find a city; an empty id means the one for calls whose city nobody knows."""
    if not city_id:
        default = ksr.htable.sht_get(_CITIES, _DEFAULT)
        city_id = str(default) if default is not None else ""
    entry = ksr.htable.sht_get(_CITIES, city_id) if city_id else None
    if not isinstance(entry, str):
        return None
    *head, ways = json.loads(entry)
    return City._make([*head, tuple(Way(*way) for way in ways)])


def is_city_number(ksr: Ksr, number: str) -> bool:
    """Tell whether a number (E.164) is one of a city's."""
    return ksr.htable.sht_get(_NUMBERS, number) is not None


def is_sos(ksr: Ksr, number: str) -> bool:
    """Tell whether this is the number of test calls, or some company's SOS button dials it."""
    return number == TEST_NUMBER or ksr.htable.sht_get(_SOS, number) is not None


class EmergencyKeeper:
    """Keeps the tables; lives in the process of the rtimer `changes`."""

    def __init__(self, path: str, default_city: str) -> None:
        self._path = Path(path)
        self._default_city = default_city
        self._cities: dict[str, str] = {}
        self._trunks: dict[str, str] = {}
        self._places: dict[str, str] = {}
        self._sos: dict[str, str] = {}
        self._cities_at = self._places_due = float("-inf")
        self._reading_s = 0.0
        self._reading: dict[str, str] | None = None
        self._told: dict[str, tuple[int, str]] = {}
        self._apartments: dict[str, set[str]] = {}
        self._after = ""
        self._away = False
        self._numbers: dict[str, str] = {}
        self._addresses = AddressKeeper()

    def tick(self, ksr: Ksr) -> None:
        """Read what is due."""
        now = time.monotonic()
        changed = False
        if now - self._cities_at >= _CITIES_EVERY_S:
            self._cities_at = now
            changed = self._read_cities(ksr)
        changed = self._addresses.take(ksr) or changed
        if self._reading is not None or now >= self._places_due:
            changed = self._read_page(ksr) or changed
            self._reading_s += time.monotonic() - now
        if changed:
            self._keep(ksr)

    def _read_cities(self, ksr: Ksr) -> bool:
        rows = self._query(ksr, _CITY_QUERY, 9)
        ways = self._query(ksr, _WAY_QUERY, 4)
        trunks = self._query(ksr, _TRUNK_QUERY, 2)
        numbers = self._query(ksr, _NUMBER_QUERY, 2)
        if rows is None or ways is None or trunks is None or numbers is None:
            return False
        changed = self._put(ksr, _NUMBERS, self._numbers, {row[0]: row[1] for row in numbers})
        self._addresses.follow(ksr, trunks)
        found = {}
        every = [row[0] for row in trunks]
        for city_id, name, country, number, trunk, centre, public, test, records in rows:
            own = [(way[1], way[2], way[3] == "1") for way in ways if way[0] == city_id and way[1] in every]
            found[city_id] = json.dumps(
                [city_id, name, country, number, trunk, test, records == "1", _ways(centre, public, own, every)],
                ensure_ascii=False,
            )
        default = self._default_city or next((row[0] for row in rows if row[5] or row[6]), "")
        found[_DEFAULT] = default
        changed = self._put(ksr, _CITIES, self._cities, found) or changed
        # A trunk's new password changes nothing else, and would be missing after a restart without the database.
        before, self._trunks = self._trunks, self._trunks_in_use(ksr)
        return changed or self._trunks != before

    def _trunks_in_use(self, ksr: Ksr) -> dict[str, str]:
        names = {way[0] for key, entry in self._cities.items() if key != _DEFAULT for way in json.loads(entry)[7]}
        entries = {name: ksr.htable.sht_get("trunks", name) for name in sorted(names)}
        return {name: entry for name, entry in entries.items() if isinstance(entry, str)}

    def _read_page(self, ksr: Ksr) -> bool:
        """Read the next page of panels; after the last one put all of them in place of the former."""
        if self._reading is None:
            apartments = self._query(ksr, _APARTMENT_QUERY, 2)
            if apartments is None:
                self._places_due = time.monotonic() + _CITIES_EVERY_S
                return False
            self._apartments = {}
            for account, number in apartments:
                self._apartments.setdefault(account, set()).add(number)
            self._reading, self._after = {}, ""
        rows = self._query(ksr, _PLACE_QUERY % (self._after, _PAGE), 9)
        if rows is None:
            self._reading, self._places_due = None, time.monotonic() + _CITIES_EVERY_S
            return False
        for row in rows:
            self._after = row[0]
            self._reading[row[0]] = self._entry(row)
        if len(rows) == _PAGE:
            return False
        found, self._reading = self._reading, None
        self._places_due = time.monotonic() + max(_CITIES_EVERY_S, self._reading_s / _PLACES_SHARE)
        self._reading_s = 0.0
        if found == self._places:
            return False
        for account in self._told.keys() - found.keys():
            del self._told[account]
        self._put_sos(ksr, found)
        return self._put(ksr, _PLACES, self._places, found)

    def _entry(self, row: tuple[str, ...]) -> str:
        """Return the entry of a panel; the one it has when the database tells the same as the last time."""
        account, city_id, address, entrance, latitude, longitude, numbers, sos, language = row
        taken = self._apartments.get(account, set())
        told = hash((row, *sorted(taken)))
        before, entry = self._told.get(account, (None, ""))
        if before == told:
            return entry
        mapped = [ALWAYS, *(n for n in json.loads(numbers) if n not in taken)]
        if sos:
            mapped.append(sos)
        place = [city_id, address, int(entrance or 0), latitude, longitude, mapped, language]
        self._told[account] = told, json.dumps(place, ensure_ascii=False)
        return self._told[account][1]

    def _put_sos(self, ksr: Ksr, places: dict[str, str]) -> None:
        usual = {ALWAYS, *(str(n) for n in range(_FIRST_APARTMENT, _LAST_APARTMENT + 1))}
        numbers: set[str] = {number for entry in places.values() for number in json.loads(entry)[5]} - usual
        self._put(ksr, _SOS, self._sos, dict.fromkeys(numbers, "1"))

    @staticmethod
    def _put(ksr: Ksr, table: str, kept: dict[str, str], found: dict[str, str]) -> bool:
        changed = False
        for key in kept.keys() - found.keys():
            ksr.htable.sht_rm(table, key)
            del kept[key]
            changed = True
        for key, entry in found.items():
            if kept.get(key) != entry:
                ksr.htable.sht_sets(table, key, entry)
                kept[key] = entry
                changed = True
        return changed

    def load(self, ksr: Ksr) -> None:
        """Take what was kept on disk: before the fork, so that the first call after a start finds it."""
        try:
            told = json.loads(self._path.read_text(encoding="utf-8"))
            parts = [told[name] for name in ("cities", "places", "numbers", "hosts", "trunks")]
            addresses = told.get("addresses", {})
            known = told.get("known", {host: [address] for host, address in addresses.items()})
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            ksr.err(f"emergency table {self._path} cannot be read: {error!r}; waiting for the database\n")
            return
        cities, places, numbers, hosts, trunks = parts
        self._put(ksr, _CITIES, self._cities, cities)
        self._put(ksr, _PLACES, self._places, places)
        self._put(ksr, _NUMBERS, self._numbers, numbers)
        self._addresses.put(ksr, hosts, addresses, known)
        self._put_sos(ksr, places)
        self._trunks = trunks
        for name, entry in trunks.items():
            if ksr.htable.sht_get("trunks", name) is None:
                ksr.htable.sht_sets("trunks", name, entry)

    def _keep(self, ksr: Ksr) -> None:
        """Write everything to disk, the trunks with it: without them nothing leads anywhere."""
        text = json.dumps(
            {
                "cities": self._cities,
                "places": self._places,
                "numbers": self._numbers,
                "hosts": self._addresses.hosts,
                "addresses": self._addresses.addresses,
                "known": self._addresses.known,
                "trunks": self._trunks,
            },
            ensure_ascii=False,
        )
        try:
            kept_files.replace_text(self._path, text)
        except OSError as error:
            ksr.err(f"emergency table cannot be kept: {error}; give Kamailio's user the right to write {self._path}\n")

    def _query(self, ksr: Ksr, query: str, columns: int) -> list[tuple[str, ...]] | None:
        """Rows as text; None while the database is away (said once)."""
        found = database.rows(ksr, _RESULT, query, columns)
        if (found is None) is not self._away:
            self._away = found is None
            now = "not refreshed: database away; what is known stays" if self._away else "refreshed again"
            ksr.warn(f"emergency table is {now}\n")
        return found


def _ways(centre: str, public: str, own: list[tuple[str, str, bool]], every: list[str]) -> list[Way]:
    """Order the ways: the centre's number on its trunks, then its public number on these, then on every other trunk."""
    ways = [Way(trunk, centre, caller_in, located) for trunk, caller_in, located in own if centre]
    if public:
        named = [trunk for trunk, _, _ in own]
        ways += [Way(trunk, public, caller_in, located) for trunk, caller_in, located in own]
        ways += [Way(trunk, public, "both", False) for trunk in every if trunk not in named]
    return ways
