"""Access codes that are renewed: rules of a company, what is on which panel, who has been told; billing."""

STATEMENTS = (
    "ALTER TABLE companies ADD COLUMN contract TEXT",
    """CREATE TABLE billing_states (
    name TEXT PRIMARY KEY,
    tried_at_ms {int} NOT NULL,
    ok_at_ms {int},
    error TEXT
){strict}""",
    """CREATE TABLE access_code_rules (
    id {id},
    version {int} NOT NULL DEFAULT 1,
    company_id {int} NOT NULL UNIQUE REFERENCES companies (id) ON DELETE CASCADE,
    length {int} NOT NULL DEFAULT 5 CHECK (length BETWEEN 4 AND 12),
    alphabet TEXT NOT NULL DEFAULT '0123456789',
    grace_s {int} NOT NULL DEFAULT 86400 CHECK (grace_s >= 0),
    sms {bool} NOT NULL DEFAULT {false},
    tell_from_hour {int} NOT NULL DEFAULT 9 CHECK (tell_from_hour BETWEEN 0 AND 23),
    tell_until_hour {int} NOT NULL DEFAULT 20 CHECK (tell_until_hour BETWEEN 1 AND 24),
    CHECK (tell_from_hour < tell_until_hour)
){strict}""",
    # `slot`: the run that made a code; NULL for one out of turn. The index is why nobody gets two codes from one run.
    "ALTER TABLE access_codes ADD COLUMN slot TEXT",
    "ALTER TABLE access_codes ADD COLUMN superseded_by {int}",
    "ALTER TABLE access_codes ADD COLUMN tell_at_ms {int}",
    "CREATE UNIQUE INDEX access_codes_slot ON access_codes (entrance_id, slot) WHERE slot IS NOT NULL",
    "CREATE INDEX access_codes_tell ON access_codes (tell_at_ms) WHERE tell_at_ms IS NOT NULL",
    "CREATE INDEX access_codes_superseded ON access_codes (superseded_by) WHERE superseded_by IS NOT NULL",
    "CREATE INDEX access_codes_company ON access_codes (company_id, id)",
    """CREATE TABLE panel_codes (
    id {id},
    company_id {int} NOT NULL,
    panel_id {int} NOT NULL,
    access_code_id {int} NOT NULL REFERENCES access_codes (id) ON DELETE CASCADE,
    place {int} NOT NULL,
    wanted TEXT NOT NULL CHECK (wanted IN ('present', 'absent')),
    state TEXT NOT NULL CHECK (state IN ('waiting', 'done')),
    tries {int} NOT NULL DEFAULT 0,
    next_try_ms {int} NOT NULL DEFAULT 0,
    last_error TEXT,
    set_at_ms {int},
    UNIQUE (panel_id, access_code_id),
    FOREIGN KEY (panel_id, company_id) REFERENCES panels (id, company_id) ON DELETE CASCADE
){strict}""",
    # A place that is free again may be taken; until then it belongs to one code.
    """CREATE UNIQUE INDEX panel_codes_place ON panel_codes (panel_id, place)
    WHERE NOT (wanted = 'absent' AND state = 'done')""",
    "CREATE INDEX panel_codes_due ON panel_codes (next_try_ms) WHERE state = 'waiting'",
    "CREATE INDEX panel_codes_code ON panel_codes (access_code_id)",
    "CREATE INDEX panel_codes_company ON panel_codes (company_id, id)",
    """CREATE TABLE code_notices (
    id {id},
    company_id {int} NOT NULL,
    access_code_id {int} NOT NULL REFERENCES access_codes (id) ON DELETE CASCADE,
    resident_id {int} NOT NULL,
    channel TEXT NOT NULL CHECK (channel IN ('push', 'sms')),
    address TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'sending', 'sent', 'failed')),
    tries {int} NOT NULL DEFAULT 0,
    next_try_ms {int} NOT NULL,
    sent_at_ms {int},
    last_error TEXT,
    UNIQUE (access_code_id, channel, address),
    FOREIGN KEY (resident_id, company_id) REFERENCES residents (id, company_id) ON DELETE CASCADE
){strict}""",
    "CREATE INDEX code_notices_due ON code_notices (next_try_ms) WHERE state IN ('waiting', 'sending')",
    "CREATE INDEX code_notices_company ON code_notices (company_id, id)",
    "CREATE INDEX code_notices_resident ON code_notices (resident_id)",
)
