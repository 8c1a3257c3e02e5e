"""How often a call has moved to another Asterisk node: what the nodes before say of its end counts no more."""

STATEMENTS = (
    "ALTER TABLE call_records ADD COLUMN moves {int} NOT NULL DEFAULT 0",
    "ALTER TABLE emergency_calls ADD COLUMN moves {int} NOT NULL DEFAULT 0",
)
