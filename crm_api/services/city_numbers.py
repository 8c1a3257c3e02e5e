"""The numbers of each city: made one by one, from a file, or from a Twilio account; and how full each pool is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from peewee import chunked

from crm_api.domain import csv_table, phones
from crm_api.domain.csv_table import Column, CsvRow, RowProblem
from crm_api.domain.number_pool import PoolState, forecast
from crm_api.domain.problems import ConflictError, InvalidFieldsError
from crm_api.services.audit import Entry
from crm_api.services.context import Tenant, find
from crm_api.services.kept import Document, Kept, platform_only
from crm_api.services.number_leases import Leasing
from crm_api.tables.emergency import CityNumber
from crm_api.tables.models import Account, City, Panel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crm_api.domain.inputs.emergency import NewCityNumber
    from crm_api.services.context import Context

COLUMNS: Final = (
    Column("number", ("phone", "номер"), required=True),
    Column("trunk", ("транк",), required=True),
    Column("shared", ("общий",)),
)
_YES: Final = frozenset({"1", "yes", "true", "да"})
_NO: Final = frozenset({"", "0", "no", "false", "нет"})
MOST_NUMBERS: Final = 10_000
"""Rows of one file: a city has hundreds of numbers."""
_AT_ONCE: Final = 500
"""Numbers of one statement."""
FORECAST_DAYS: Final = 7
_DAY_MS: Final = 86_400_000

_POOLS: Final = """
SELECT c.id, c.name, coalesce(e.low_percent, 20), coalesce(e.keep_s, 86400), count(n.id),
       sum(CASE WHEN n.held_until_ms > ? THEN 1 ELSE 0 END)
FROM city_numbers n JOIN cities c ON c.id = n.city_id LEFT JOIN emergency_centres e ON e.city_id = c.id
WHERE n.in_service = ? AND n.shared = ?
GROUP BY c.id, c.name, e.low_percent, e.keep_s ORDER BY c.id
"""
_HELD: Final = """
SELECT leased_at_ms, coalesce(ended_at_ms, held_until_ms) FROM number_leases
WHERE city_id = ? AND coalesce(ended_at_ms, held_until_ms) > ? AND (end_reason IS NULL OR end_reason <> 'shared')
"""


class CityNumbers(Kept[CityNumber]):
    """Numbers: the platform's."""

    noun = "city number"
    model = CityNumber

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._leasing = Leasing(context)

    def row(self, tenant: Tenant, key: Any) -> CityNumber:
        """Return a number."""
        platform_only(tenant)
        return find(tenant, CityNumber, self.noun, key)

    def seen(self, tenant: Tenant) -> Any:
        """Return all numbers."""
        platform_only(tenant)
        return CityNumber.select()

    def documents(self, rows: Sequence[CityNumber]) -> list[Document]:
        """Show each number with its city's FIAS id, its status at this moment, and the panel that holds it."""
        now_ms = self.context.now_ms()
        cities: Any = City.select(City.id, City.fias_id).where(City.id.in_({row.city_id for row in rows}))
        fias: dict[int, str | None] = dict(cities.tuples())
        panels: Any = (
            Panel.select(Panel.id, Account.account)
            .join(Account, on=(Account.id == Panel.account_id))
            .where(Panel.id.in_([row.panel_id for row in rows if row.panel_id is not None]))
        )
        accounts: dict[int, str] = dict(panels.tuples())
        return [self._document(row.__data__, fias, accounts, now_ms) for row in rows]

    def create(self, tenant: Tenant, new: NewCityNumber) -> Document:
        """Make a number."""
        platform_only(tenant)
        with self.database.transaction():
            if City.get_or_none(City.id == new.city_id) is None:
                raise InvalidFieldsError.one("city_id", new.city_id, "name a city: make it first")
            self._refuse_elsewhere(new.number, new.city_id)
            row = CityNumber.create(**new.model_dump())
        return self.got(tenant, row.id)

    def change(self, tenant: Tenant, key: int, values: dict[str, Any]) -> Document:
        """Change a number. Its panel keeps it to the end of the lease, also out of service."""
        with self.database.transaction():
            self.update(self.row(tenant, key), **values)
        return self.got(tenant, key)

    def remove(self, tenant: Tenant, key: int) -> None:
        """Remove a number and its history, unless a panel holds it."""
        with self.database.transaction():
            row: Any = self.row(tenant, key)
            if row.panel_id is not None and row.held_until_ms > self.context.now_ms():
                raise ConflictError(f"{row.number} is held by a panel: take it out of service, or release its lease")
            row.delete_instance()

    def upload(self, tenant: Tenant, city_id: int, content: bytes, *, dry_run: bool) -> Document:
        """Take numbers from a CSV file (number, trunk, shared): all of them, or nothing when one is wrong."""
        platform_only(tenant)
        find(Tenant(None), City, "city", city_id)
        wanted: list[tuple[str, str, bool]] = []
        seen: dict[str, int] = {}
        problems: list[RowProblem] = []
        for count, row in enumerate(csv_table.read(content, COLUMNS).rows(), 1):
            if count > MOST_NUMBERS:
                raise InvalidFieldsError.one("body", None, f"has more than {MOST_NUMBERS} rows: cut it into several")
            read = row if isinstance(row, RowProblem) else _number_of(row)
            if isinstance(read, RowProblem):
                problems.append(read)
            elif read[0] in seen:
                problems.append(RowProblem(row_number(row), "number", read[0], "comes twice in this file"))
            else:
                seen[read[0]] = row_number(row)
                wanted.append(read)
        problems += self._problems_elsewhere(seen, city_id)
        problems.sort(key=lambda problem: problem.row)
        return self._take(tenant, city_id, wanted, problems, dry_run=dry_run)

    def allowed(self, tenant: Tenant, city_id: int) -> bool:
        """Say that this may be asked for, or raise: before another service is asked."""
        platform_only(tenant)
        find(Tenant(None), City, "city", city_id)
        return True

    def take_numbers(
        self, tenant: Tenant, city_id: int, numbers: Sequence[str], trunk: str, *, dry_run: bool
    ) -> Document:
        """Take numbers that another service has told (`adapters.twilio_numbers`)."""
        platform_only(tenant)
        find(Tenant(None), City, "city", city_id)
        positions = {number: position for position, number in enumerate(numbers, 1)}
        problems = self._problems_elsewhere(positions, city_id)
        return self._take(tenant, city_id, [(n, trunk, False) for n in numbers], problems, dry_run=dry_run)

    def pools(self) -> list[Document]:
        """Tell of every city how many numbers are free, and when none will be."""
        now_ms = self.context.now_ms()
        pools = []
        for city_id, city, low_percent, keep_s, numbers, held in self.database.rows(_POOLS, (now_ms, True, False)):
            since_ms = now_ms - FORECAST_DAYS * _DAY_MS
            spans = [(int(a), int(b)) for a, b in self.database.rows(_HELD, (city_id, since_ms))]
            state = forecast(PoolState(numbers, int(held or 0), low_percent, keep_s), spans, now_ms, FORECAST_DAYS)
            pools.append({"city_id": city_id, "city": city, **state})
        return pools

    def shown_pools(self, tenant: Tenant) -> Document:
        """Show the pools."""
        platform_only(tenant)
        return {"items": self.pools()}

    def _take(
        self,
        tenant: Tenant,
        city_id: int,
        wanted: list[tuple[str, str, bool]],
        problems: list[RowProblem],
        *,
        dry_run: bool,
    ) -> Document:
        made = unchanged = 0
        if not problems:
            with self.database.transaction():
                there: Any = CityNumber.select(CityNumber.number).where(CityNumber.city_id == city_id)
                known = {row.number for row in there}
                fresh = [line for line in wanted if line[0] not in known]
                made, unchanged = len(fresh), len(wanted) - len(fresh)
                if fresh and not dry_run:
                    lines: list[dict[str, Any]] = [
                        {"city_id": city_id, "number": n, "trunk": t, "shared": s, "in_service": True}
                        for n, t, s in fresh
                    ]
                    for some in chunked(lines, _AT_ONCE):
                        CityNumber.insert_many(some).execute()
                    entries = [Entry(self.noun, line["number"], "create", None, line, None) for line in lines]
                    self.trail.write(tenant, entries)
        told = [{"row": p.row, "column": p.column, "value": p.value, "remedy": p.remedy} for p in problems]
        return {"made": made, "unchanged": unchanged, "dry_run": dry_run, "problems": told}

    def _refuse_elsewhere(self, number: str, city_id: int) -> None:
        for problem in self._problems_elsewhere({number: 0}, city_id):
            raise ConflictError(f"number: {number} {problem.remedy}")

    @staticmethod
    def _problems_elsewhere(rows: Mapping[str, int], city_id: int) -> list[RowProblem]:
        """Return what is wrong with numbers (each with its row) that another city has, in the order of their rows."""
        problems = []
        for some in chunked(rows, _AT_ONCE):
            others: Any = (
                CityNumber.select(CityNumber.number, City.name)
                .join(City, on=(City.id == CityNumber.city_id))
                .where(CityNumber.number.in_(some) & (CityNumber.city_id != city_id))
            )
            problems += [
                RowProblem(rows[number], "number", number, f"is a number of {name} already: a number has one city")
                for number, name in others.tuples()
            ]
        return sorted(problems, key=lambda problem: problem.row)

    @staticmethod
    def _document(row: Document, fias: dict[int, str | None], accounts: dict[int, str], now_ms: int) -> Document:
        held = row["panel_id"] is not None and row["held_until_ms"] > now_ms
        status = (
            "shared" if row["shared"] else "in_call" if held and row["in_call"] else "kept" if held
            else "free" if row["in_service"] else "out_of_service"
        )  # fmt: skip
        return {
            "id": row["id"],
            "city_id": row["city_id"],
            "fias_id": fias.get(row["city_id"]),
            "number": row["number"],
            "trunk": row["trunk"],
            "status": status,
            "panel": accounts.get(row["panel_id"]) if held else None,
            "leased_at_ms": row["leased_at_ms"] if held else None,
            "held_until_ms": row["held_until_ms"] if held else None,
            "version": row["version"],
        }


def row_number(row: CsvRow | RowProblem) -> int:
    """Return the number of a row in its file."""
    return row.number if isinstance(row, CsvRow) else row.row


def _number_of(row: CsvRow) -> tuple[str, str, bool] | RowProblem:
    try:
        number = phones.e164(row.cells["number"])
    except ValueError as error:
        return row.problem("number", str(error))
    trunk = row.cells["trunk"].lower()
    if not trunk or not trunk.replace("-", "a").isalnum() or not trunk.isascii() or len(trunk) > 32:  # noqa: PLR2004
        return row.problem("trunk", "name a trunk: letters, digits and hyphens")
    shared = row.cells.get("shared", "").lower()
    if shared not in _YES | _NO:
        return row.problem("shared", "say yes or no")
    return number, trunk, shared in _YES
