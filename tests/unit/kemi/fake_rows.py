"""What the fake's database answers to the queries of ours: accounts, emergency tables, trunks, changes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.unit.kemi.fake_ksr import FakeKsr

Rows = list[tuple[object, ...]]


class NotModelledError(NotImplementedError):
    """KSR has the function, the fake gives it no meaning."""


def rows_of(fake: FakeKsr, accounts: Mapping[str, tuple[object, ...]], text: str) -> Rows:
    """Return the rows of one of our queries.

    Raises:
        NotModelledError: it is none that is known here.
    """
    if text.startswith("pragma "):
        return [(0, fake.log_pages, fake.log_pages)] if "checkpoint" in text else []
    if found := re.search(r"account='([^']*)'", text):
        row = accounts.get(found[1])
        return [row] if row else []
    if found := re.search(r"from kamailio_accounts where account in \((.*)\)$", text):
        names = re.findall(r"'([^']*)'", found[1])
        return [(name, accounts[name][1]) for name in names if name in accounts]
    if found := re.search(r"from (kamailio_emergency_\w+|kamailio_city_numbers|kamailio_voice_trunks)", text):
        after = re.search(r"account > '([^']*)'", text)
        return [row for row in fake.views[found[1]] if after is None or str(row[0]) > after[1]]
    if "from kamailio_trunks" in text:
        hosts_alone = text == "select name, address from kamailio_trunks order by name"
        return [row[:2] if hosts_alone else row for row in fake.trunk_rows]
    return _rows_of_changes(fake, text)


def _rows_of_changes(fake: FakeKsr, text: str) -> Rows:
    if "max(id)" in text:
        return [(max((i for i, _ in fake.changes), default=0), 0)]
    floor = re.search(r"id > (-?\d+)", text)
    if floor is None:
        raise NotModelledError(text)
    upto = re.search(r"id <= (\d+)", text)
    rows = sorted(
        row
        for row in fake.changes
        if row[0] > int(floor[1])
        and (upto is None or row[0] <= int(upto[1]))
        and (" like 'contacts:%'" not in text or row[1].startswith("contacts:"))
    )
    if limit := re.search(r" limit (\d+)$", text):
        rows = rows[: int(limit[1])]
    return [(len(rows), sum(i for i, _ in rows))] if "count(*)" in text else [*rows]
