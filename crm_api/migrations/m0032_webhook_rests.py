"""A webhook that does not answer rests with all that waits for it; what is due is found webhook by webhook."""

STATEMENTS = (
    "ALTER TABLE webhooks ADD COLUMN rests_until_ms {int} NOT NULL DEFAULT 0",
    # Passes in a row in which it took nothing and at least once said nothing: it rests the longer for them.
    "ALTER TABLE webhooks ADD COLUMN silences {int} NOT NULL DEFAULT 0",
    "CREATE INDEX webhook_deliveries_turns ON webhook_deliveries (webhook_id, due_at_ms, id) WHERE state = 'waiting'",
)
