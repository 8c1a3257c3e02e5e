"""The panel's picture beside a message that its visitor leaves: kept as long as the message, shown with it."""

STATEMENTS = (
    # Taken when the visitor is invited to speak, so before the message itself arrives.
    """CREATE TABLE message_pictures (
    company_id {int} NOT NULL REFERENCES companies (id) ON DELETE CASCADE,
    call_id TEXT NOT NULL CHECK (length(call_id) BETWEEN 1 AND 255),
    taken_at_ms {int} NOT NULL,
    content {blob} NOT NULL,
    PRIMARY KEY (company_id, call_id)
){strict}""",
    "CREATE INDEX message_pictures_taken ON message_pictures (taken_at_ms)",
)
