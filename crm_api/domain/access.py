"""Which role may do what: one table, asked by every declared operation.

A role says what may be done, the tenant (`services.context.Tenant`) says to whose rows.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

Role = Literal["admin", "operator", "engineer", "read_only", "calls"]
StaffRole = Literal["admin", "operator", "engineer", "read_only"]
Area = Literal[
    "places", "companies", "people", "groups", "accounts", "devices", "doors", "keys", "codes", "rules", "records",
    "probes", "probe_recordings", "jobs", "trunks", "webhooks", "webhook_deliveries", "access", "audit", "plans",
    "door_openings", "call_sounds", "key_uses", "emergency", "emergency_path", "metrics", "search", "self",
]  # fmt: skip

ROLES: Final[tuple[Role, ...]] = get_args(Role)

_ALL: Final = frozenset[Role](("admin", "operator", "engineer", "read_only"))
_OFFICE: Final = frozenset[Role](("admin", "operator"))
_FIELD: Final = frozenset[Role](("admin", "operator", "engineer"))
_ADMIN: Final = frozenset[Role](("admin",))
_CALLS: Final = frozenset[Role](("calls",))
_NOBODY: Final = frozenset[Role]()

# area: (who reads, who changes)
TABLE: Final[dict[Area, tuple[frozenset[Role], frozenset[Role]]]] = {
    "places": (_ALL, _OFFICE),  # cities, houses, entrances, gates, apartments
    "companies": (_ALL, _OFFICE),  # making and removing them is for those who see all companies
    "people": (_ALL, _OFFICE),  # residents, their phones, where they live
    "groups": (_ALL, _OFFICE),
    "accounts": (_ALL, _FIELD),  # SIP accounts and their passwords, push tokens
    "devices": (_ALL, _FIELD),  # panels, relays
    "doors": (_NOBODY, _FIELD),  # opening a door from the CRM
    "keys": (_ALL, _FIELD),  # RFID keys
    "codes": (_FIELD, _OFFICE),  # access codes: whoever reads one can open
    "rules": (_ALL, _OFFICE),  # kinds of blocks, blocks, ring plans, concierge desks
    "records": (_ALL, _NOBODY),  # calls, openings, reports
    "probes": (_ALL, _FIELD),  # campaigns of quality probes
    "probe_recordings": (_FIELD, _NOBODY),  # what residents say to a probe
    "jobs": (_ALL, _OFFICE),  # imports and other work in the background
    "trunks": (_ADMIN, _ADMIN),  # of those who act for every company: carriers are the platform's
    "webhooks": (_ADMIN, _ADMIN),  # where a company's data goes
    "webhook_deliveries": (_OFFICE, _OFFICE),  # what was told, and telling it again
    "access": (_ADMIN, _ADMIN),  # staff, service accounts, their tokens and sessions
    "audit": (_ADMIN, _NOBODY),
    "plans": (_ALL | _CALLS, _NOBODY),  # the ring plan of a number at this moment
    "door_openings": (_NOBODY, _CALLS),  # a resident's key press
    "call_sounds": (_OFFICE, _OFFICE),  # messages of visitors and recordings: nobody else's business
    "key_uses": (_NOBODY, _FIELD | _CALLS),  # a key held to a panel, told by the panel's driver or an installer
    "emergency": (_ALL, _OFFICE),  # dispatch centres, city numbers and their leases, what a company wants of 112
    "emergency_path": (_CALLS, _CALLS),  # numbers for calls to 112, who is called back
    "metrics": (_ALL, _NOBODY),  # of those who see all companies
    "search": (_ALL, _NOBODY),  # finds places, people, devices, accounts and keys
    "self": (_ALL | _CALLS, _ALL | _CALLS),  # who am I, my password, my log-out
}


def reads(area: Area) -> frozenset[Role]:
    """Return the roles that may look at this area."""
    return TABLE[area][0]


def changes(area: Area) -> frozenset[Role]:
    """Return the roles that may change something in this area."""
    return TABLE[area][1]
