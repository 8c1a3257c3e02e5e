"""The CRM's database, read through its views (docs/contracts.md); nothing is ever written there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from KSR import Ksr

_CONNECTION = "crm"


def rows(ksr: Ksr, result: str, query: str, columns: int) -> list[tuple[str, ...]] | None:
    """Return the rows as text, an absent value as an empty one; None while the database is away.

    Args:
        ksr: Kamailio.
        result: name of the result; each place that asks has its own.
        query: SQL. What is put into it has been checked: the module knows no parameters.
        columns: how many columns a row has.
    """
    if ksr.sqlops.sql_query(_CONNECTION, query, result) < 0:
        return None
    get = ksr.sqlops.sql_result_get
    try:
        found = []
        for row in range(ksr.sqlops.sql_num_rows(result)):
            values = (get(result, row, column) for column in range(columns))
            found.append(tuple("" if value is None else str(value) for value in values))
        return found
    finally:
        ksr.sqlops.sql_result_free(result)
