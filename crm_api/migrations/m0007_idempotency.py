"""Answers to creations that carried an `Idempotency-Key`, for 24 hours; nobody can read them without that key."""

STATEMENTS = (
    """CREATE TABLE idempotency_keys (
    id {id},
    principal_id {int} NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
    key_hash TEXT NOT NULL CHECK (length(key_hash) = 64),
    request_hash TEXT NOT NULL CHECK (length(request_hash) = 64),
    answer TEXT,
    created_at_ms {int} NOT NULL,
    UNIQUE (principal_id, key_hash)
){strict}""",
    "CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at_ms)",
)
