"""What an operator looks for: houses, apartments, panels, accounts, residents and keys, by what he knows of them.

Every function returns rows of (key, company_id, title, address, apartment, matched): the key names the row in its
address, `address` and `apartment` tell where it is, `matched` what was found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from crm_api.domain.search_text import telling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_api.tables.database import CrmDatabase

END_DIGITS: Final = 4
"""So many digits at the end of a phone have an index."""

_END: Final = {"sqlite": f"substr({{}}, -{END_DIGITS})", "postgresql": f"right({{}}, {END_DIGITS})"}
_BYTES: Final = {"sqlite": "", "postgresql": ' COLLATE "C"'}
_LABEL: Final = "coalesce(a.label, CAST(a.number AS TEXT))"
_NONE: Final = "CAST(NULL AS TEXT)"


class Found(NamedTuple):
    """One row that was found."""

    key: int | str
    company_id: int | None
    title: str
    address: str | None
    apartment: str | None
    matched: str


class SearchRows:
    """The searches of one asker: among the rows of these companies (None: all), so many of each kind."""

    def __init__(self, database: CrmDatabase, companies: frozenset[int] | None, limit: int) -> None:
        self._database = database
        self._companies = companies
        self._limit = limit

    def houses(self, words: Sequence[str]) -> list[Found]:
        """Return houses whose address has words that begin so."""
        return self._by_words("houses t", "address", ("t.id", "t.company_id", "address", "address", _NONE), words)

    def apartments(self, words: Sequence[str], number: int | None, labels: Sequence[str]) -> list[Found]:
        """Return apartments of this number (None: of none), or whose door says one of these, in such houses."""
        shown = ("a.id", "a.company_id", _LABEL, "address", _LABEL)
        meant = f"a.number = ? OR a.label IN ({_marks(labels)})"
        tables = f"houses t JOIN apartments a ON a.house_id = t.id AND ({meant})"
        return self._by_words(tables, "address", shown, words, number, *labels)

    def panels(self, words: Sequence[str]) -> list[Found]:
        """Return panels whose name has words that begin so."""
        return self._by_words("panels t", "name", ("t.id", "t.company_id", "name", _NONE, _NONE), words)

    def panels_of_accounts(self, begin: str) -> list[Found]:
        """Return panels whose account begins so."""
        tables = "accounts c JOIN panels p ON p.account_id = c.id"
        return self._by_begin(
            f"p.id, p.company_id, p.name, {_NONE}, {_NONE}, c.account FROM {tables}", "= 'panel'", begin
        )

    def accounts(self, begin: str) -> list[Found]:
        """Return accounts, but those of panels, that begin so."""
        where = "LEFT JOIN apartments a ON a.id = c.apartment_id LEFT JOIN houses h ON h.id = a.house_id"
        selected = f"c.account, c.company_id, c.account, h.address, {_LABEL}, c.account FROM accounts c {where}"
        return self._by_begin(selected, "<> 'panel'", begin)

    def accounts_by_phone(self, end: str) -> list[Found]:
        """Return accounts of kind phone whose number ends so."""
        return self._rows(
            f"SELECT c.account, c.company_id, c.account, h.address, {_LABEL}, c.phone FROM accounts c "  # noqa: S608 - constants
            "JOIN apartments a ON a.id = c.apartment_id JOIN houses h ON h.id = a.house_id "
            f"WHERE c.phone IS NOT NULL AND {self._end('c.phone')} = ? AND c.phone LIKE ?",
            (end[-END_DIGITS:], f"%{end}"),
            "c.company_id",
            "c.id",
        )

    def residents(self, end: str) -> list[Found]:
        """Return residents one of whose phones ends so, with the first of their apartments."""
        first = "SELECT min(y.id) FROM residencies y WHERE y.resident_id = r.id"
        return self._rows(
            f"SELECT r.id, r.company_id, r.name, h.address, {_LABEL}, p.phone FROM resident_phones p "  # noqa: S608 - constants
            f"JOIN residents r ON r.id = p.resident_id LEFT JOIN residencies x ON x.id = ({first}) "
            "LEFT JOIN apartments a ON a.id = x.apartment_id LEFT JOIN houses h ON h.id = a.house_id "
            f"WHERE {self._end('p.phone')} = ? AND p.phone LIKE ?",
            (end[-END_DIGITS:], f"%{end}"),
            "p.company_id",
            "p.id",
        )

    def keys(self, numbers: Sequence[str]) -> list[Found]:
        """Return keys that have one of these numbers, as they are kept."""
        return self._rows(
            f"SELECT k.id, k.company_id, k.scope, h.address, {_LABEL}, k.number FROM rfid_keys k "  # noqa: S608 - constants
            "LEFT JOIN apartments a ON a.id = k.apartment_id LEFT JOIN entrances e ON e.id = k.entrance_id "
            "LEFT JOIN houses h ON h.id = coalesce(k.house_id, a.house_id, e.house_id) "
            f"WHERE k.number IN ({_marks(numbers)})",
            numbers,
            "k.company_id",
            "k.id",
        )

    def _by_words(
        self, tables: str, column: str, shown: Sequence[str], words: Sequence[str], *parameters: object
    ) -> list[Found]:
        """Look through all texts; those with the words one after the other come first, then those that have them whole.

        Of them the shortest. House 2, block 2 has each word of house 1, block 2 of its street, and not one after the
        other.
        """
        longest_first = sorted(telling(words), key=len, reverse=True)  # most texts are done with after the rarest word
        beginning = " AND ".join(["t.search_text LIKE ?"] * len(longest_first))
        sql = f"SELECT {', '.join(shown)}, {column} FROM {tables} WHERE {beginning}"  # noqa: S608 - names of ours
        limited, companies = self._of_companies("t.company_id")
        ranks = f"CASE WHEN t.search_text LIKE ? THEN 0 WHEN {beginning} THEN 1 ELSE 2 END"
        order = f"ORDER BY {ranks}, length(t.search_text), 1 LIMIT ?"
        begins = [f"% {word}%" for word in longest_first]
        whole = [f"% {word} %" for word in longest_first]
        asked = (*parameters, *begins, *companies, f"% {' '.join(words)} %", *whole, self._limit)
        rows = self._database.rows(f"{sql}{limited} {order}", asked)
        return [Found(*row) for row in rows]

    def _by_begin(self, selected: str, kind: str, begin: str) -> list[Found]:
        """Read the range of accounts from `begin` to what would follow the last name that begins so."""
        account = f"c.account{_BYTES[self._database.dialect]}"
        after = begin[:-1] + chr(ord(begin[-1]) + 1)
        sql = f"SELECT {selected} WHERE {account} >= ? AND {account} < ? AND c.kind {kind}"
        return self._rows(sql, (begin, after), "c.company_id", account)

    def _rows(self, sql: str, parameters: Sequence[Any], company: str, order: str) -> list[Found]:
        limited, companies = self._of_companies(company)
        rows = self._database.rows(f"{sql}{limited} ORDER BY {order} LIMIT ?", (*parameters, *companies, self._limit))
        return [Found(*row) for row in rows]

    def _of_companies(self, column: str) -> tuple[str, list[int]]:
        if self._companies is None:
            return "", []
        return f" AND {column} IN ({_marks(self._companies)})", sorted(self._companies)

    def _end(self, column: str) -> str:
        return _END[self._database.dialect].format(column)


def _marks(values: Sequence[object] | frozenset[int]) -> str:
    return ", ".join("?" * len(values)) or "NULL"  # PostgreSQL takes no empty list
