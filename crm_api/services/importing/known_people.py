"""Residents of one company, found by name and phone, with what a file makes of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from crm_api.domain.csv_table import plain
from crm_api.domain.problems import ConflictError
from crm_api.services.importing.importer import WrongCellError
from crm_api.tables.many_ids import asked_for

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from crm_api.services.audit import State
    from crm_api.tables.database import CrmDatabase

MOST_PHONES: Final = 10
_KNOWN: Final = """
SELECT r.id, r.name, r.version, r.note, p.phone FROM residents r JOIN resident_phones p ON p.resident_id = r.id
WHERE r.company_id = ?
"""
_PHONES: Final = """
SELECT resident_id, phone FROM resident_phones WHERE resident_id IN ({marks}) ORDER BY resident_id, position
"""
_HOMES: Final = """
SELECT resident_id, apartment_id, role, ends_at_ms, ring_order FROM residencies WHERE resident_id IN ({marks})
ORDER BY id
"""
_COUNT_UP: Final = "UPDATE residents SET version = version + 1 WHERE id IN ({marks}) RETURNING id, version"
_NOTE: Final = "UPDATE residents SET note = ? WHERE id = ?"


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a look at the company's residents tells of each."""

    version: int
    note: str | None


@dataclass(slots=True)
class Person:
    """Somebody whom the file makes, or who gets more by it: what of him is new."""

    name: str
    note: str | None
    phones: list[str]
    kept: _Kept | None = None
    """What the company has of him already; None: he is new."""
    kept_phones: list[str] = field(default_factory=list)
    kept_homes: list[dict[str, Any]] = field(default_factory=list)

    def difference(self, homes: list[dict[str, Any]]) -> tuple[State, State]:
        """Return before and after of somebody who gets these homes, at least: what differs in his document."""
        if self.kept is None:
            raise ValueError(f"{self.name} is new")
        before: State = {"version": self.kept.version, "apartments": self.kept_homes}
        after: State = {"version": self.kept.version + 1, "apartments": self.kept_homes + homes}
        if self.note is not None:
            before["note"], after["note"] = self.kept.note, self.note
        if self.phones:
            before["phones"], after["phones"] = self.kept_phones, self.kept_phones + self.phones
        return before, after


class KnownPeople:
    """Who has the same name and one of the same phones is the same person, in the file and in the company.

    A person has an id: that of the resident, or one below zero for somebody new (-1 is the first).
    """

    def __init__(self, database: CrmDatabase, company_id: int) -> None:
        self.new: list[Person] = []
        self.changed: dict[int, Person] = {}
        """Those whom the company has, and who get a home, a phone or a note."""
        self._database = database
        self._kept: dict[int, _Kept] = {}
        self._phones: dict[int, int] = {}
        """How many each of the company's has."""
        self._known: dict[tuple[str, str], tuple[int, ...]] = {}
        self._left_out: dict[tuple[str, str], int] = {}
        for resident_id, name, version, note, phone in database.rows(_KNOWN, (company_id,)):
            if resident_id not in self._kept:
                self._kept[resident_id] = _Kept(version, note)
            self._phones[resident_id] = self._phones.get(resident_id, 0) + 1
            key = (plain(name), phone)
            self._known[key] = (*self._known.get(key, ()), resident_id)

    def meant(
        self, name: str, phones: Iterable[str], apartment_id: int, homes: Container[tuple[int, int]]
    ) -> int | None:
        """Return who a row means, None if it is somebody new.

        Who has all phones that anybody of the name has; of several the one who lives in the apartment.

        Args:
            name: of the row, plain.
            phones: of the row.
            apartment_id: of the row.
            homes: person and apartment, of everybody.

        Raises:
            WrongCellError: it may be one of several.
        """
        having = [set(known) for phone in phones if (known := self._having(name, phone))]
        if not having:
            return None
        people = set.intersection(*having) or set.union(*having)
        if len(people) > 1:
            people = {who for who in people if (who, apartment_id) in homes}
        if len(people) != 1:
            remedy = (
                "several residents of this name have these phones: give those of one of them, and if they are one, all "
                "of his in his first row"
            )
            raise WrongCellError("phones", remedy)
        return people.pop()

    def make(self, name: str, phones: list[str], note: str | None) -> int:
        """Remember somebody new; return his id."""
        self.new.append(Person(name, note, phones))
        who = -len(self.new)
        for phone in phones:
            self._add(plain(name), phone, who)
        return who

    def give(self, who: int, name: str, phones: list[str], note: str | None) -> None:
        """Remember what else a row says of a person, or raise `WrongCellError` where he cannot have that as well."""
        person = self.new[-who - 1] if who < 0 else self.changed.get(who)
        if person is None:
            person = Person(name, None, [], self._kept[who])
        kept_note = person.kept.note if person.kept else None
        if note is not None and note != (person.note or kept_note or note):
            raise WrongCellError("note", "an earlier row or the resident has another note: leave this one out")
        more = [phone for phone in phones if who not in self._known.get((plain(name), phone), ())]
        in_all = self._phones.get(who, 0) + len(person.phones) + len(more)
        if in_all > MOST_PHONES:
            raise WrongCellError("phones", f"make {in_all} with those he has: a resident has at most {MOST_PHONES}")
        if note != kept_note:
            person.note = note or person.note
        person.phones += more
        for phone in more:
            self._add(plain(name), phone, who)
        if who > 0:
            self.changed[who] = person

    def __getitem__(self, who: int) -> Person:
        """Return somebody who is new, or who gets more."""
        return self.new[-who - 1] if who < 0 else self.changed[who]

    def leave_out(self, who: int, name: str, phones: Iterable[str]) -> None:
        """Remember whose the phones of a row are that is left out: he does not get them by it."""
        for phone in phones:
            self._left_out[plain(name), phone] = who

    def read_changed(self) -> None:
        """Read what those have who get more."""
        ids = sorted(self.changed)
        for resident_id, phone in asked_for(self._database, _PHONES, ids):
            self.changed[resident_id].kept_phones.append(phone)
        for resident_id, apartment_id, role, ends_at_ms, ring_order in asked_for(self._database, _HOMES, ids):
            home = {"apartment_id": apartment_id, "role": role, "ends_at_ms": ends_at_ms, "ring_order": ring_order}
            self.changed[resident_id].kept_homes.append(home)

    def count_up(self) -> None:
        """Count the changes, so that nobody undoes them who has read the residents before; write their notes.

        Raises:
            ConflictError: somebody has changed one of them since the first look.
        """
        counted = dict(asked_for(self._database, _COUNT_UP, sorted(self.changed)))
        for resident_id, person in self.changed.items():
            if person.kept is None or counted.get(resident_id) != person.kept.version + 1:
                raise ConflictError(f"{person.name} was changed meanwhile")
        notes = [(person.note, who) for who, person in self.changed.items() if person.note is not None]
        self._database.many(_NOTE, notes)

    def _having(self, name: str, phone: str) -> tuple[int, ...]:
        left_out = self._left_out.get((name, phone))
        return self._known.get((name, phone), () if left_out is None else (left_out,))

    def _add(self, name: str, phone: str, who: int) -> None:
        self._known[name, phone] = (*self._known.get((name, phone), ()), who)
