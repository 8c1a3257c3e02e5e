"""Messages of visitors, and recordings of talks where a company wants them; how long each is kept."""

STATEMENTS = (
    # 0: nobody is invited to leave a message.
    """ALTER TABLE companies ADD COLUMN message_limit_s {int} NOT NULL DEFAULT 0
    CHECK (message_limit_s BETWEEN 0 AND 180)""",
    """ALTER TABLE companies ADD COLUMN message_kept_days {int} NOT NULL DEFAULT 14
    CHECK (message_kept_days BETWEEN 1 AND 366)""",
    "ALTER TABLE companies ADD COLUMN records_calls {bool} NOT NULL DEFAULT {false}",
    """ALTER TABLE companies ADD COLUMN recording_kept_days {int} NOT NULL DEFAULT 30
    CHECK (recording_kept_days BETWEEN 1 AND 1100)""",
    """CREATE TABLE call_sounds (
    id {id},
    version {int} NOT NULL DEFAULT 1,
    company_id {int} NOT NULL REFERENCES companies (id),
    kind TEXT NOT NULL CHECK (kind IN ('message', 'recording')),
    call_id TEXT NOT NULL CHECK (length(call_id) BETWEEN 1 AND 255),
    panel TEXT NOT NULL,
    dialled TEXT NOT NULL,
    apartment_id {int},
    at_ms {int} NOT NULL,
    duration_ms {int} NOT NULL CHECK (duration_ms >= 0),
    heard_at_ms {int},
    expires_at_ms {int} NOT NULL,
    UNIQUE (call_id, kind),
    FOREIGN KEY (apartment_id, company_id) REFERENCES apartments (id, company_id) ON DELETE CASCADE
){strict}""",
    "CREATE INDEX call_sounds_company ON call_sounds (company_id, id)",
    "CREATE INDEX call_sounds_apartment ON call_sounds (apartment_id, id) WHERE apartment_id IS NOT NULL",
    "CREATE INDEX call_sounds_expires ON call_sounds (expires_at_ms)",
    """CREATE TABLE call_sound_files (
    sound_id {int} PRIMARY KEY REFERENCES call_sounds (id) ON DELETE CASCADE,
    content {blob} NOT NULL
){strict}""",
)
