"""Ends of phones' calls that came before the wish to call: another worker has that one, and is still busy."""

STATEMENTS = (
    """CREATE TABLE voice_ends (
    token TEXT PRIMARY KEY,
    at_ms {int} NOT NULL
){keyed}""",
    "CREATE INDEX voice_ends_at ON voice_ends (at_ms)",
)
