"""One field in which an operator looks for whatever he knows: an address, a phone, an account, a key, a panel."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from crm_api.domain import key_numbers
from crm_api.domain.phones import e164
from crm_api.domain.search_text import words
from crm_api.services.context import Tenant, find
from crm_api.tables.models import Company
from crm_api.tables.search_rows import END_DIGITS, Found, SearchRows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from crm_api.domain.inputs.search import SearchQuery
    from crm_api.domain.key_numbers import Reading
    from crm_api.services.context import Context
    from crm_api.services.kept import Document

PLURALS: Final = {
    "house": "houses",
    "apartment": "apartments",
    "panel": "panels",
    "account": "accounts",
    "resident": "residents",
    "key": "keys",
}
_PHONE: Final = re.compile(r"\+?[0-9][0-9 ()./-]*")
_ACCOUNT: Final = re.compile(r"[a-z0-9][a-z0-9-]{2,31}")
_APARTMENT: Final = re.compile(r"(?i)(?<!\w)(?:кв|квартира|apt|apartment|flat)(?![^\W\d_])\.?\s*([^\s,][^,]*)$")
"""An apartment that is called one: whatever its door says. Of two such words the last counts."""
_LAST: Final = re.compile(r"[\s,]([0-9]\S*)$")
"""A number at the end, perhaps with a letter."""
KEY_READINGS: Final[tuple[Reading, ...]] = (
    ("hex", "high_first"),
    ("hex", "low_first"),
    ("decimal", "high_first"),
    ("decimal", "low_first"),
    ("wiegand", "high_first"),
)
"""Whoever searches says neither the notation nor the order of the bytes."""


class Search:
    """Finds rows of every kind; what the text cannot be is not looked for."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def found(self, tenant: Tenant, wanted: SearchQuery) -> Document:
        """Return what was found, at most `limit` of each kind; the likeliest kinds first.

        Raises:
            NotFoundError: the company that it is limited to is not there.
        """
        companies = tenant.companies
        if wanted.company_id is not None:
            find(tenant, Company, "company", wanted.company_id)
            companies = frozenset((wanted.company_id,))
        rows = SearchRows(self._context.database, companies, wanted.limit)
        items = []
        for noun, search in _searches(rows, wanted.q):
            items += [_shown(noun, found) for found in search()]
        return {"items": items}


def _searches(rows: SearchRows, text: str) -> Iterable[tuple[str, Callable[[], list[Found]]]]:
    numbers = key_numbers.meant(text, KEY_READINGS)
    if numbers:
        yield "key", lambda: rows.keys(numbers)
    end = phone_end(text)
    if end is not None:
        yield "resident", lambda: rows.residents(end)
        yield "account", lambda: rows.accounts_by_phone(end)
    account = text.strip().lower()
    if _ACCOUNT.fullmatch(account):
        yield "panel", lambda: rows.panels_of_accounts(account)
        yield "account", lambda: rows.accounts(account)
    meant = words(text)
    place, apartment = apartment_of(text)
    if apartment is not None:
        yield "apartment", lambda: rows.apartments(words(place), number_of(apartment), labels_of(apartment))
    if meant:
        yield "house", lambda: rows.houses(meant)
        yield "panel", lambda: rows.panels(meant)


def _shown(noun: str, found: Found) -> Document:
    matched = key_numbers.written(found.matched) if noun == "key" else found.matched
    return {
        "noun": noun,
        "key": str(found.key),
        "href": f"/v1/{PLURALS[noun]}/{found.key}",
        "company_id": found.company_id,
        "title": found.title,
        "address": found.address,
        "apartment": found.apartment,
        "matched": matched,
    }


def phone_end(text: str) -> str | None:
    """Return the digits that a phone must end with to be meant by a text; None: it is no part of a phone."""
    text = text.strip()
    if _PHONE.fullmatch(text) is None:
        return None
    try:
        return e164(text).removeprefix("+")
    except ValueError:
        digits = re.sub("[^0-9]", "", text)
        return digits if len(digits) >= END_DIGITS else None


def apartment_of(text: str) -> tuple[str, str | None]:
    """Return an address and the apartment that follows it, as it is written; None when none does."""
    text = text.strip().rstrip(".,; ")
    found = _APARTMENT.search(text) or _LAST.search(text)
    if found is None or not words(text[: found.start()]) or not words(found[1]):
        return text, None
    return text[: found.start()], found[1].strip()


def number_of(apartment: str) -> int | None:
    """Return the number that an apartment is written with; None: it is none."""
    is_number = apartment.isascii() and apartment.isdigit() and len(apartment) <= END_DIGITS
    return int(apartment) if is_number else None


def labels_of(apartment: str) -> list[str]:
    """Return how a door may spell what an apartment is called: databases do not agree about small letters."""
    return list(dict.fromkeys(spelled for spelled in (apartment, apartment.upper(), apartment.lower())))
