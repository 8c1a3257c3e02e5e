"""Pictures of visitors, shown for minutes by a signed link in a push."""

STATEMENTS = (
    """CREATE TABLE visitor_pictures (
    call_hash TEXT PRIMARY KEY,
    call_id TEXT NOT NULL,
    apartment_id {int} REFERENCES apartments (id) ON DELETE CASCADE,
    company_id {int} REFERENCES companies (id) ON DELETE CASCADE,
    taken_at_ms {int} NOT NULL,
    content {blob} NOT NULL
){strict}""",
    "CREATE INDEX visitor_pictures_taken ON visitor_pictures (taken_at_ms)",
    "CREATE INDEX visitor_pictures_apartment ON visitor_pictures (apartment_id)",
    "CREATE INDEX visitor_pictures_company ON visitor_pictures (company_id)",
)
