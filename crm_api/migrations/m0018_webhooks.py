"""Webhooks of client companies, and what is to be delivered to them; limits of phones."""

STATEMENTS = (
    """CREATE TABLE webhooks (
    id {id},
    version {int} NOT NULL DEFAULT 1,
    company_id {int} NOT NULL REFERENCES companies (id) ON DELETE CASCADE,
    url TEXT NOT NULL,
    events TEXT NOT NULL,
    secret TEXT NOT NULL,
    enabled {bool} NOT NULL,
    created_at_ms {int} NOT NULL,
    UNIQUE (company_id, url),
    UNIQUE (id, company_id)
){strict}""",
    # One delivery for each webhook and thing that happened, however often it is told.
    """CREATE TABLE webhook_deliveries (
    id {id},
    webhook_id {int} NOT NULL,
    company_id {int} NOT NULL,
    event TEXT NOT NULL,
    subject TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'dead')),
    attempts {int} NOT NULL,
    created_at_ms {int} NOT NULL,
    due_at_ms {int} NOT NULL,
    delivered_at_ms {int},
    last_error TEXT,
    UNIQUE (webhook_id, event, subject),
    FOREIGN KEY (webhook_id, company_id) REFERENCES webhooks (id, company_id) ON DELETE CASCADE
){strict}""",
    "CREATE INDEX webhook_deliveries_due ON webhook_deliveries (due_at_ms) WHERE state = 'waiting'",
    "CREATE INDEX webhook_deliveries_company ON webhook_deliveries (company_id, id)",
    "CREATE INDEX webhook_deliveries_done ON webhook_deliveries (delivered_at_ms) WHERE state = 'delivered'",
    # What a company lets phones cost; NULL: no limit. Countries as ISO 3166-1, comma-separated.
    "ALTER TABLE companies ADD COLUMN phone_countries TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE companies ADD COLUMN phone_minutes {int} CHECK (phone_minutes BETWEEN 0 AND 10000000)",
    """ALTER TABLE companies ADD COLUMN apartment_phone_minutes {int}
    CHECK (apartment_phone_minutes BETWEEN 0 AND 100000)""",
    # For how long records of calls are kept; NULL: for good.
    "ALTER TABLE companies ADD COLUMN calls_kept_days {int} CHECK (calls_kept_days BETWEEN 1 AND 3660)",
)
