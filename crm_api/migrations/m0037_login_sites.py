"""Logins are counted by whole sites of IPv6, too: whoever has one (a /48) has 65,536 networks to try from."""

STATEMENTS = (
    "ALTER TABLE login_attempts ADD COLUMN site TEXT NOT NULL DEFAULT ''",
    "CREATE INDEX login_attempts_site ON login_attempts (site, at_ms)",
)
