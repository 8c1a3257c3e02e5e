"""Residents from CSV: a row is a person in an apartment; a person with several apartments has several rows."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, Final

from crm_api.domain.csv_table import Column, plain
from crm_api.domain.phones import e164
from crm_api.domain.problems import ConflictError
from crm_api.domain.zones import zone_or_utc
from crm_api.services.audit import Entry
from crm_api.services.changes import OUTBOX_COLUMNS, due_rows
from crm_api.services.importing.importer import Importer, WrongCellError, limited
from crm_api.services.importing.known_people import MOST_PHONES, KnownPeople, Person
from crm_api.services.importing.known_places import ADDRESS, APARTMENT, ENTRANCE, KnownPlaces
from crm_api.services.residents import Residents
from crm_api.tables.id_blocks import reserved
from crm_api.tables.many_ids import asked_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crm_api.domain.csv_table import CsvRow
    from crm_api.services.context import Context

LONGEST_NAME: Final = 200
LONGEST_NOTE: Final = 1000
MOST_PHONES_OF_A_FILE: Final = 200_000
"""Each is a row to write, for which others wait as for those of the file itself (`importer.MOST_ROWS`)."""
ROLES: Final = {
    "": "owner",
    "owner": "owner",
    "владелец": "owner",
    "собственник": "owner",
    "tenant": "tenant",
    "арендатор": "tenant",
    "наниматель": "tenant",
    "жилец": "tenant",
    "guest": "guest",
    "гость": "guest",
}
_PHONE_SEPARATORS: Final = re.compile(r"[,;/]")
_DATES: Final = ("%Y-%m-%d", "%d.%m.%Y")

_RESIDENT: Final = ("id", "company_id", "name", "note", "created_at_ms")
_PHONE: Final = ("company_id", "resident_id", "phone", "position")
_RESIDENCY: Final = ("company_id", "resident_id", "apartment_id", "role", "ends_at_ms")
_HOME: Final = ("apartment_id", "role", "ends_at_ms", "ring_order")
_HOMES: Final = "SELECT resident_id, apartment_id FROM residencies WHERE company_id = ?"
# Without the company in it: SQLite would read all its people, for each of these statements.
_OF_PHONES: Final = """
SELECT r.company_id, r.name, p.phone FROM resident_phones p JOIN residents r ON r.id = p.resident_id
WHERE p.phone IN ({marks})
"""
_OF_HOMES: Final = """
SELECT r.id, r.name, h.apartment_id FROM residencies h JOIN residents r ON r.id = h.resident_id
WHERE h.apartment_id IN ({marks})
"""
_DIALLED: Final = "SELECT DISTINCT phone FROM accounts WHERE company_id = ? AND kind = 'phone'"
_OWN_ACCOUNTS: Final = "SELECT id, resident_id, apartment_id FROM accounts WHERE resident_id IN ({marks})"
# By the clock of the house's city, else of the company's.
_ZONES: Final = """
SELECT h.id, coalesce(t.time_zone, 'UTC') FROM houses h JOIN companies c ON c.id = h.company_id
LEFT JOIN cities t ON t.id = coalesce(h.city_id, c.city_id) WHERE h.company_id = ?
"""


class ResidentImport(Importer):
    """Who has the same name and one of the same phones is the same person, and gets what else a row says of him."""

    columns: ClassVar[tuple[Column, ...]] = (
        Column("name", ("фио", "имя", "житель"), required=True),
        Column(ADDRESS.name, ADDRESS.aliases, required=True),
        Column(APARTMENT.name, APARTMENT.aliases, required=True),
        ENTRANCE,
        Column("phones", ("phone", "телефон", "телефоны")),
        Column("role", ("роль",)),
        Column("until", ("до",)),
        Column("note", ("примечание",)),
    )

    def __init__(self, context: Context, company_id: int, options: dict[str, Any]) -> None:
        super().__init__(context, company_id, options)
        self._places = KnownPlaces(self.database, company_id)
        self._zones: dict[int, str] = dict(self.database.rows(_ZONES, (company_id,)))
        self._people = KnownPeople(self.database, company_id)
        self._homes: dict[tuple[int, int], int] = dict.fromkeys(self.database.rows(_HOMES, (company_id,)), 0)
        self._nameless: dict[tuple[str, int], int] = {}
        self._residencies: list[tuple[int, int, str, int | None]] = []
        self._ids: list[int] = []
        self._new_homes: dict[int, list[dict[str, Any]]] = {}
        self._of_phones: dict[str, set[int]] = {}
        """Apartments where a phone, if it is dialled, is a resident's now."""
        self._e164: dict[str, str] = {}
        self._phones_in_all = 0

    def read(self, row: CsvRow) -> None:
        """Remember a person and where he lives."""
        name = limited(row.cells["name"], "name", LONGEST_NAME)
        if not name:
            raise WrongCellError("name", "give the name")
        house_id = self._places.house(row)
        apartment_id = self._places.apartment(row, house_id)
        phones = self._phones(row.cells.get("phones", ""))
        role = ROLES.get(plain(row.cells.get("role", "")))
        if role is None:
            raise WrongCellError("role", "give owner, tenant or guest")
        ends_at_ms = self._ends_at_ms(row.cells.get("until", ""), role, house_id)
        note = limited(row.cells.get("note", ""), "note", LONGEST_NOTE) or None
        who = self._people.meant(plain(name), phones, apartment_id, self._homes)
        if who is not None:
            before = self._homes.get((who, apartment_id))
            if before:
                raise WrongCellError("name", f"lives in this apartment by row {before} already: leave one of them out")
            if before == 0 and self.there_already("name", "this resident of this apartment"):
                self._people.leave_out(who, name, phones)
                return
            self._people.give(who, name, phones, note)
        elif not phones and (plain(name), apartment_id) in self._nameless:
            before = self._nameless[plain(name), apartment_id]
            raise WrongCellError(
                "name", f"lives in this apartment by row {before} already: give phones to tell them apart"
            )
        if who is None:
            who = self._people.make(name, phones, note)
            if not phones:
                self._nameless[plain(name), apartment_id] = row.number
        self._homes[who, apartment_id] = row.number
        self._residencies.append((who, apartment_id, role, ends_at_ms))

    def prepare(self) -> None:
        """Have people, phones and homes lie ready, and that plans are dropped when a guest's time is over."""
        new = self._people.new
        ids = self._ids = reserved(self.database, "residents", len(new))
        self._people.read_changed()
        self.stage("residents", _RESIDENT, [self._line(*one) for one in zip(ids, new, strict=True)])
        phones = [
            (self.company_id, resident_id, phone, position)
            for resident_id, person in chain(zip(ids, new, strict=True), self._people.changed.items())
            for position, phone in enumerate(person.phones, len(person.kept_phones))
        ]
        self.stage("resident_phones", _PHONE, phones)
        homes = [(self.company_id, who if who > 0 else ids[-who - 1], *home) for who, *home in self._residencies]
        self.stage("residencies", _RESIDENCY, homes)
        self.stage("outbox", OUTBOX_COLUMNS, self._ends())
        self._new_homes = self._homes_of()
        for who, new_homes in self._new_homes.items():
            person = self._people[who]
            apartments = {home["apartment_id"] for home in new_homes}
            for phone in person.kept_phones:
                self._of_phones.setdefault(phone, set()).update(apartments)
            apartments.update(home["apartment_id"] for home in person.kept_homes)
            for phone in person.phones:
                self._of_phones.setdefault(phone, set()).update(apartments)

    def entries(self) -> Iterator[Entry]:
        """Yield one for each resident who is made, or gets something."""
        homes = self._new_homes
        for number, (resident_id, person) in enumerate(zip(self._ids, self._people.new, strict=True), 1):
            state = dict(zip(_RESIDENT, self._line(resident_id, person), strict=True))
            yield self.created(
                Residents.noun, {**state, "phones": person.phones, "apartments": homes[-number], "version": 1}
            )
        for resident_id, person in self._people.changed.items():
            before, after = person.difference(homes[resident_id])
            yield Entry(Residents.noun, str(resident_id), "change", before, after, self.company_id)

    def look_again(self) -> None:
        """Refuse people who are new to the file and no longer to the company: nothing in the database would.

        And those who get something by it, when they were changed. It asks for the phones and homes of the file alone:
        how many people the company has costs nobody any time.
        """
        super().look_again()
        self._people.count_up()
        new = {(plain(person.name), phone) for person in self._people.new for phone in person.phones}
        for company_id, name, phone in asked_for(self.database, _OF_PHONES, sorted({phone for _, phone in new})):
            if company_id == self.company_id and (plain(name), phone) in new:
                raise ConflictError(f"{name} was made meanwhile")
        apartments = sorted({apartment_id for _, apartment_id in self._nameless})
        for resident_id, name, apartment_id in asked_for(self.database, _OF_HOMES, apartments):
            # Who lived there before the first look and has no phone may be another of the same name.
            if (plain(name), apartment_id) in self._nameless and (resident_id, apartment_id) not in self._homes:
                raise ConflictError(f"{name} was made meanwhile")

    def announce(self) -> None:
        """Have planned anew what rings a phone or an account of one's own: only while its owner lives there."""
        dialled = {phone for (phone,) in self.database.rows(_DIALLED, (self.company_id,))}
        planned_anew: set[int] = set()
        for phone in dialled.intersection(self._of_phones):
            planned_anew |= self._of_phones[phone]
        # Each has several numbers and plans that name it: to look them up here would keep others waiting.
        self.changes.apartments_when_delivered(planned_anew)
        new = {(who, apartment_id) for who, apartment_id, _, _ in self._residencies if who > 0}
        own = asked_for(self.database, _OWN_ACCOUNTS, sorted(self._people.changed))
        self.changes.accounts_ring_when_delivered({account: home for account, who, home in own if (who, home) in new})

    def made(self) -> dict[str, int]:
        """Return how many people and homes there are."""
        return {"residents": len(self._people.new), "residencies": len(self._residencies)}

    def _homes_of(self) -> dict[int, list[dict[str, Any]]]:
        """Return the new homes of each person, as documents show them."""
        homes: dict[int, list[dict[str, Any]]] = {}
        for who, *home in self._residencies:
            homes.setdefault(who, []).append(dict(zip(_HOME, (*home, None), strict=True)))
        return homes

    def _line(self, resident_id: int, person: Person) -> tuple[object, ...]:
        return resident_id, self.company_id, person.name, person.note, self.now_ms

    def _ends(self) -> list[tuple[int, str, str]]:
        """Return what the outbox is told of the ends of guests: their apartments, by moment."""
        ends: dict[int, set[int]] = {}
        for _, apartment_id, _, ends_at_ms in self._residencies:
            if ends_at_ms is not None:
                ends.setdefault(ends_at_ms, set()).add(apartment_id)
        return [row for ends_at_ms, apartments in ends.items() for row in due_rows(ends_at_ms, apartments)]

    def _phones(self, text: str) -> list[str]:
        phones: list[str] = []
        for part in filter(None, (part.strip() for part in _PHONE_SEPARATORS.split(text))):
            if part not in self._e164:
                try:
                    self._e164[part] = e164(part)
                except ValueError as error:
                    raise WrongCellError("phones", str(error)) from None
            if self._e164[part] not in phones:
                phones.append(self._e164[part])
        if len(phones) > MOST_PHONES:
            raise WrongCellError("phones", f"has {len(phones)} phones: a resident has at most {MOST_PHONES}")
        self._phones_in_all += len(phones)
        if self._phones_in_all > MOST_PHONES_OF_A_FILE:
            remedy = f"the rows of one file have at most {MOST_PHONES_OF_A_FILE} phones: cut the file into several"
            raise WrongCellError("phones", remedy)
        return phones

    def _ends_at_ms(self, text: str, role: str, house_id: int) -> int | None:
        """Return the end of the day that is named, by the clock of the house."""
        if (role == "guest") != bool(text):
            raise WrongCellError("until", "a guest, and only a guest, has the day until which he may stay")
        if not text:
            return None
        day = next((day for form in _DATES if (day := _day(text, form)) is not None), None)
        if day is None:
            raise WrongCellError("until", "give a day such as 2027-01-31 or 31.01.2027")
        if day == date.max:
            raise WrongCellError("until", f"has no day after it: give one before {date.max}")
        midnight = datetime.combine(day + timedelta(days=1), time(), zone_or_utc(self._zones.get(house_id)))
        ends_at_ms = int(midnight.astimezone(UTC).timestamp() * 1000)
        if ends_at_ms <= self.now_ms:
            raise WrongCellError("until", "is over already: give a day to come")
        return ends_at_ms


def _day(text: str, form: str) -> date | None:
    try:
        return datetime.strptime(text, form).replace(tzinfo=UTC).date()
    except ValueError:
        return None
