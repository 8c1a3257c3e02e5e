"""When the desks on duty were told of an emergency call; those of before are nobody's news."""

STATEMENTS = (
    "ALTER TABLE emergency_calls ADD COLUMN desks_told_at_ms {int}",
    "UPDATE emergency_calls SET desks_told_at_ms = started_at_ms",
    """CREATE INDEX emergency_calls_untold ON emergency_calls (started_at_ms)
    WHERE desks_told_at_ms IS NULL AND direction = 'out' AND test = {false}""",
)
