"""When a panel was called last is asked before each probe, whichever campaign's call it was."""

STATEMENTS = ("CREATE INDEX probe_calls_rests ON probe_calls (panel, began_at_ms)",)
