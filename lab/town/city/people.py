"""Residents with phones and the apartments they live in, and the RFID keys of apartments, entrances and houses."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lab.town.city.rows import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.town.city.layout import Layout

_DAY_MS: Final = 86_400_000
_RESIDENTS: Final = (0, 1, 1, 1, 2, 2, 2, 3)
"""How many of an apartment are known by name: one of these."""
_KEYS: Final = (0, 1, 1, 2, 2, 2, 3, 3)
"""Keys of an apartment: one of these. Half a percent of them again are of entrances and houses (post, cleaners)."""
_SERVICE_SHARE: Final = 200
_GUEST_SHARE: Final = 0.02


class People:
    """Residents and keys of a layout."""

    def __init__(self, layout: Layout, seed: int, until_ms: int) -> None:
        self._layout = layout
        self._until_ms = until_ms
        self._created_at_ms = until_ms - 365 * _DAY_MS
        self._rng = random.Random(f"{seed}:people")
        self._names = Path(__file__).with_name("names.txt").read_text(encoding="utf-8").splitlines()
        counts = self._rng.choices(_RESIDENTS, k=layout.size.apartments)
        self._homes = [apartment for apartment, count in enumerate(counts) for _ in range(count)]
        counts = self._rng.choices(_KEYS, k=layout.size.apartments)
        self.key_homes = [apartment for apartment, count in enumerate(counts) for _ in range(count)]
        """Apartment of every key that an apartment has, by position; the id of a key is its position plus one."""

    def tables(self) -> Iterator[Table]:
        """Residents before what refers to them."""
        total = len(self._homes)
        yield Table("residents", ("id", "company_id", "name", "created_at_ms"), total, self._residents())
        yield Table("resident_phones", ("company_id", "resident_id", "phone", "position"), total, self._phones())
        columns: tuple[str, ...] = ("company_id", "resident_id", "apartment_id", "role", "ends_at_ms")
        yield Table("residencies", columns, total, self._residencies())
        columns = (
            "id",
            "company_id",
            "number",
            "scope",
            "apartment_id",
            "entrance_id",
            "enabled",
            "note",
            "created_at_ms",
        )
        service = len(self.key_homes) // _SERVICE_SHARE
        yield Table("rfid_keys", columns, len(self.key_homes) + service, self._keys(service))

    def _residents(self) -> Iterator[tuple[Any, ...]]:
        names, rng = self._names, self._rng
        for identifier, apartment in enumerate(self._homes, 1):
            family, own, _ = names[int(rng.random() * len(names))].split()
            _, _, father = names[int(rng.random() * len(names))].split()
            yield identifier, self._layout.company_of(apartment), f"{family} {own} {father}", self._created_at_ms

    def _phones(self) -> Iterator[tuple[Any, ...]]:
        for identifier, apartment in enumerate(self._homes, 1):
            yield self._layout.company_of(apartment), identifier, resident_phone(identifier), 0

    def _residencies(self) -> Iterator[tuple[Any, ...]]:
        last = -1
        for identifier, apartment in enumerate(self._homes, 1):
            role, ends_at_ms = ("owner" if apartment != last else "tenant"), None
            if apartment == last and self._rng.random() < _GUEST_SHARE:
                role, ends_at_ms = "guest", self._until_ms + 30 * _DAY_MS
            last = apartment
            yield self._layout.company_of(apartment), identifier, apartment + 1, role, ends_at_ms

    def _keys(self, service: int) -> Iterator[tuple[Any, ...]]:
        layout = self._layout
        for identifier, apartment in enumerate(self.key_homes, 1):
            number = key_number(identifier)
            company = layout.company_of(apartment)
            yield identifier, company, number, "apartment", apartment + 1, None, True, "", self._created_at_ms
        for index in range(service):
            identifier = len(self.key_homes) + index + 1
            entrance = self._rng.randrange(len(layout.entrances))
            company = layout.houses[layout.entrances[entrance].house].company
            number = key_number(identifier)
            yield identifier, company, number, "entrance", None, entrance + 1, True, "почта", self._created_at_ms


def resident_phone(identifier: int) -> str:
    """Phone of the resident with this id: every one once, in no order (the factor shares no divisor with 10**9)."""
    return f"+79{identifier * 387_420_489 % 1_000_000_000:09}"


def key_number(identifier: int) -> str:
    """Number of the key with this id, as it is kept: four bytes without a leading zero byte, every one once."""
    return f"{0x01000000 + identifier * 48_271 % 0xFEFFFFD5:08X}"
