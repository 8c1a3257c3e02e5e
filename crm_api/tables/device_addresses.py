"""Network addresses of panels and relays: whether one is that of another company's device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crm_api.tables.database import CrmDatabase

HTTP_PORT: Final = 80
"""Where a device is asked whose address has no port."""


def spellings(address: str) -> list[str]:
    """Return every way to write where this address leads, in small letters: `a`, `a.`, `a:80` and `a.:80` are one."""
    host, _, port_text = address.lower().partition(":")
    host = host.rstrip(".")
    port = int(port_text or HTTP_PORT)
    ports = ("", f":{port}") if port == HTTP_PORT else (f":{port}",)
    return [f"{name}{end}" for name in (host, f"{host}.") for end in ports]


def belongs_to_others(database: CrmDatabase, address: str, companies: Iterable[int]) -> bool:
    """Say whether a panel or relay has this address that is of none of these companies."""
    spelled, own = spellings(address), sorted(companies)
    where = f"lower(address) IN ({', '.join('?' * len(spelled))}) AND company_id NOT IN ({', '.join('?' * len(own))})"
    sql = f"SELECT 1 FROM panels WHERE {where} UNION ALL SELECT 1 FROM relays WHERE {where} LIMIT 1"  # noqa: S608 - marks
    return database.row(sql, (*spelled, *own) * 2) is not None
