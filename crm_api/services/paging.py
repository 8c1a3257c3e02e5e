"""Pages by key: the next page begins after the last row's sort value and id, so any depth is equally quick.

A cursor is opaque to clients. It holds that position and a fingerprint of the query it belongs to: who asks, which
list, filters and order. Another query refuses it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from crm_api.domain.problems import FieldProblem, ProblemError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_api.services.context import Tenant

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 200
_FINGERPRINT_BYTES: Final = 9


class WrongCursorError(ProblemError):
    """No cursor of ours, or one of another query."""

    kind = "wrong-cursor"

    def __init__(self, cursor: str) -> None:
        remedy = "send `next` of a page with the same filters, sort and token, or leave the cursor out to begin anew"
        super().__init__(f"cursor: {remedy}", (FieldProblem("cursor", cursor[:200], remedy),))


@dataclass(frozen=True)
class Asked:
    """What a list is asked for.

    Args:
        filters: by name, checked already; None is no filter.
        sort: a column, with `-` before it for descending order. Rows of equal value come by id in the same direction.
        limit: rows of a page.
        cursor: `next` of the page before; None for the first page.
    """

    filters: dict[str, Any] = field(default_factory=dict)
    sort: str = "id"
    limit: int = DEFAULT_LIMIT
    cursor: str | None = None

    @property
    def column(self) -> str:
        """Column to sort by."""
        return self.sort.removeprefix("-")

    @property
    def descending(self) -> bool:
        """Whether the greatest comes first."""
        return self.sort.startswith("-")


@dataclass(frozen=True)
class Page:
    """Documents, and the cursor of the next page: None on the last."""

    items: list[dict[str, Any]]
    next: str | None


def position(asked: Asked, tenant: Tenant, name: str, types: Sequence[type]) -> tuple[Any, ...] | None:
    """Return (sort value, id) of the row that the page follows, None for the first page.

    Args:
        asked: with the cursor.
        tenant: who asks.
        name: of the list.
        types: of sort value and id; a cursor that holds something else was not made here.

    Raises:
        WrongCursorError: not made for this query.
    """
    if asked.cursor is None:
        return None
    try:
        raw = base64.urlsafe_b64decode(asked.cursor.encode() + b"=" * (-len(asked.cursor) % 4))
        values = json.loads(raw[_FINGERPRINT_BYTES:])
    except (ValueError, binascii.Error, RecursionError):
        raise WrongCursorError(asked.cursor) from None
    fits = isinstance(values, list) and [type(value) for value in values] == list(types)
    if not fits or raw[:_FINGERPRINT_BYTES] != _fingerprint(asked, tenant, name, values):
        raise WrongCursorError(asked.cursor)
    return tuple(values)


def cursor_after(asked: Asked, tenant: Tenant, name: str, values: Sequence[Any]) -> str:
    """Return the cursor of the page that follows the row with this (sort value, id)."""
    kept = list(values)
    raw = _fingerprint(asked, tenant, name, kept) + _json(kept)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def merged(parts: Sequence[Sequence[tuple[Any, ...]]], *, descending: bool, limit: int) -> list[tuple[Any, ...]]:
    """Return the first `limit` of several sorted lists of (sort value, id, ...)."""
    rows = [row for part in parts for row in part]
    rows.sort(key=itemgetter(0, 1), reverse=descending)
    return rows[:limit]


def _fingerprint(asked: Asked, tenant: Tenant, name: str, values: list[Any]) -> bytes:
    companies = None if tenant.companies is None else sorted(tenant.companies)
    query = [name, companies, sorted(asked.filters.items()), asked.sort, values]
    return hashlib.blake2b(_json(query), digest_size=_FINGERPRINT_BYTES).digest()


def _json(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, default=str).encode()
