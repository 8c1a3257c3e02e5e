"""Another set of scopes that the outbox takes."""

from __future__ import annotations

from typing import Any

from crm_api.migrations.rebuilding import postgresql_only, rebuilt, sqlite_only


def outbox_of(*scopes: str) -> tuple[dict[str, Any], ...]:
    """Return the statements after which rows of the outbox have one of these scopes; the rows stay."""
    check = f"scope IN ({', '.join(repr(scope) for scope in scopes)})"
    return (
        *rebuilt(
            "outbox",
            f"""
    id {{id}},
    due_at_ms {{int}} NOT NULL,
    scope TEXT NOT NULL CHECK ({check}),
    payload TEXT NOT NULL
""",
            "id, due_at_ms, scope, payload",
        ),
        *sqlite_only("CREATE INDEX outbox_due ON outbox (due_at_ms)"),
        *postgresql_only(
            "ALTER TABLE outbox DROP CONSTRAINT outbox_scope_check",
            f"ALTER TABLE outbox ADD CONSTRAINT outbox_scope_check CHECK ({check})",
        ),
    )
