"""Test calls that wait to be placed are found without looking at all calls to 112."""

STATEMENTS = (
    "CREATE INDEX emergency_calls_asked ON emergency_calls (started_at_ms) WHERE test = {true} AND result IS NULL",
)
