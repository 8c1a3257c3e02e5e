"""Residents, groups, who may use the API with which role and tokens, and the audit log.

`api_tokens` becomes `principals` (who) and `tokens` (with what): existing tokens go on working.
"""

PRINCIPALS = (
    """CREATE TABLE principals (
    id {id},
    kind TEXT NOT NULL CHECK (kind IN ('staff', 'service_account')),
    name TEXT NOT NULL,
    login TEXT UNIQUE CHECK (login = lower(login)),
    role TEXT NOT NULL CHECK (role IN ('admin', 'operator', 'engineer', 'read_only', 'calls')),
    all_companies {bool} NOT NULL,
    enabled {bool} NOT NULL,
    password_hash TEXT,
    created_at_ms {int} NOT NULL,
    version {int} NOT NULL DEFAULT 1,
    CHECK ((kind = 'staff') = (login IS NOT NULL)),
    CHECK ((kind = 'staff') = (password_hash IS NOT NULL)),
    CHECK (role <> 'calls' OR kind = 'service_account')
){strict}""",
    """CREATE TABLE principal_companies (
    principal_id {int} NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
    company_id {int} NOT NULL REFERENCES companies (id) ON DELETE CASCADE,
    PRIMARY KEY (principal_id, company_id)
){keyed}""",
    "CREATE INDEX principal_companies_company ON principal_companies (company_id)",
    """CREATE TABLE tokens (
    id {id},
    principal_id {int} NOT NULL REFERENCES principals (id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('token', 'session')),
    name TEXT NOT NULL,
    token_hash TEXT NOT NULL UNIQUE CHECK (length(token_hash) = 64),
    created_at_ms {int} NOT NULL,
    expires_at_ms {int},
    last_used_at_ms {int},
    revoked_at_ms {int},
    version {int} NOT NULL DEFAULT 1,
    CHECK (kind = 'token' OR expires_at_ms IS NOT NULL)
){strict}""",
    "CREATE INDEX tokens_principal ON tokens (principal_id)",
    """CREATE TABLE login_attempts (
    id {id},
    login_hash TEXT NOT NULL,
    address TEXT NOT NULL,
    at_ms {int} NOT NULL
){strict}""",
    "CREATE INDEX login_attempts_login ON login_attempts (login_hash, at_ms)",
    "CREATE INDEX login_attempts_address ON login_attempts (address, at_ms)",
    "CREATE INDEX login_attempts_at ON login_attempts (at_ms)",
)

# A principal's id is the id of the token that it comes from: nothing else needs to be remembered while they are copied.
FORMER_TOKENS = (
    """INSERT INTO principals (id, kind, name, login, role, all_companies, enabled, password_hash, created_at_ms)
    SELECT id, 'service_account', name, NULL,
        CASE kind WHEN 'platform' THEN 'admin' WHEN 'operator' THEN 'operator' ELSE 'calls' END,
        CASE WHEN company_id IS NULL THEN {true} ELSE {false} END, {true}, NULL, created_at_ms
    FROM api_tokens""",
    {
        "sqlite": None,
        "postgresql": "SELECT setval(pg_get_serial_sequence('principals', 'id'), coalesce(max(id), 0) + 1, FALSE)"
        " FROM principals",
    },
    """INSERT INTO principal_companies (principal_id, company_id)
    SELECT id, company_id FROM api_tokens WHERE company_id IS NOT NULL""",
    """INSERT INTO tokens (principal_id, kind, name, token_hash, created_at_ms, revoked_at_ms)
    SELECT id, 'token', name, token_hash, created_at_ms, revoked_at_ms FROM api_tokens""",
    "DROP TABLE api_tokens",
)

RESIDENTS = (
    """CREATE TABLE residents (
    id {id},
    company_id {int} NOT NULL REFERENCES companies (id),
    name TEXT NOT NULL,
    note TEXT,
    created_at_ms {int} NOT NULL,
    version {int} NOT NULL DEFAULT 1,
    UNIQUE (id, company_id)
){strict}""",
    "CREATE INDEX residents_company ON residents (company_id)",
    """CREATE TABLE resident_phones (
    id {id},
    company_id {int} NOT NULL,
    resident_id {int} NOT NULL,
    phone TEXT NOT NULL CHECK (substr(phone, 1, 1) = '+' AND length(phone) BETWEEN 4 AND 16),
    position {int} NOT NULL,
    UNIQUE (resident_id, phone),
    FOREIGN KEY (resident_id, company_id) REFERENCES residents (id, company_id) ON DELETE CASCADE
){strict}""",
    "CREATE INDEX resident_phones_phone ON resident_phones (phone)",
    """CREATE TABLE residencies (
    id {id},
    company_id {int} NOT NULL,
    resident_id {int} NOT NULL,
    apartment_id {int} NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('owner', 'tenant', 'guest')),
    ends_at_ms {int},
    UNIQUE (resident_id, apartment_id),
    CHECK ((role = 'guest') = (ends_at_ms IS NOT NULL)),
    FOREIGN KEY (resident_id, company_id) REFERENCES residents (id, company_id) ON DELETE CASCADE,
    FOREIGN KEY (apartment_id, company_id) REFERENCES apartments (id, company_id) ON DELETE CASCADE
){strict}""",
    "CREATE INDEX residencies_apartment ON residencies (apartment_id)",
    "ALTER TABLE accounts ADD COLUMN resident_id {int} REFERENCES residents (id)",
    "CREATE INDEX accounts_resident ON accounts (resident_id) WHERE resident_id IS NOT NULL",
)

GROUPS = (
    """CREATE TABLE groups (
    id {id},
    company_id {int} NOT NULL REFERENCES companies (id),
    kind TEXT NOT NULL CHECK (kind IN ('houses', 'panels', 'apartments')),
    name TEXT NOT NULL,
    note TEXT,
    created_at_ms {int} NOT NULL,
    version {int} NOT NULL DEFAULT 1,
    UNIQUE (company_id, name),
    UNIQUE (id, company_id)
){strict}""",
    """CREATE TABLE group_members (
    id {id},
    company_id {int} NOT NULL,
    group_id {int} NOT NULL,
    house_id {int},
    panel_id {int},
    apartment_id {int},
    UNIQUE (group_id, house_id),
    UNIQUE (group_id, panel_id),
    UNIQUE (group_id, apartment_id),
    CHECK (CASE WHEN house_id IS NULL THEN 0 ELSE 1 END + CASE WHEN panel_id IS NULL THEN 0 ELSE 1 END
        + CASE WHEN apartment_id IS NULL THEN 0 ELSE 1 END = 1),
    FOREIGN KEY (group_id, company_id) REFERENCES groups (id, company_id) ON DELETE CASCADE,
    FOREIGN KEY (house_id, company_id) REFERENCES houses (id, company_id) ON DELETE CASCADE,
    FOREIGN KEY (panel_id, company_id) REFERENCES panels (id, company_id) ON DELETE CASCADE,
    FOREIGN KEY (apartment_id, company_id) REFERENCES apartments (id, company_id) ON DELETE CASCADE
){strict}""",
    "CREATE INDEX group_members_house ON group_members (house_id) WHERE house_id IS NOT NULL",
    "CREATE INDEX group_members_panel ON group_members (panel_id) WHERE panel_id IS NOT NULL",
    "CREATE INDEX group_members_apartment ON group_members (apartment_id) WHERE apartment_id IS NOT NULL",
)

# No foreign keys on purpose: what was done stays told when the one who did it, or the company, is no more.
AUDIT = (
    """CREATE TABLE audit_log (
    id {id},
    at_ms {int} NOT NULL,
    company_id {int},
    principal_id {int},
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    noun TEXT NOT NULL,
    key TEXT NOT NULL,
    state_before TEXT,
    state_after TEXT
){strict}""",
    "CREATE INDEX audit_log_company ON audit_log (company_id, id)",
    "CREATE INDEX audit_log_subject ON audit_log (noun, key, id)",
    "CREATE INDEX audit_log_principal ON audit_log (principal_id, id)",
    "CREATE INDEX audit_log_at ON audit_log (at_ms)",
    {
        "sqlite": "CREATE TRIGGER audit_log_not_changed BEFORE UPDATE ON audit_log "
        "BEGIN SELECT raise(ABORT, 'the audit log is only ever added to'); END",
        "postgresql": "CREATE FUNCTION audit_log_is_kept() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN RAISE EXCEPTION ''the audit log is only ever added to'' USING ERRCODE = ''23514''; END'",
    },
    {
        "sqlite": "CREATE TRIGGER audit_log_not_deleted BEFORE DELETE ON audit_log "
        "BEGIN SELECT raise(ABORT, 'the audit log is only ever added to'); END",
        "postgresql": "CREATE TRIGGER audit_log_only_added BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_kept()",
    },
)

STATEMENTS = (*PRINCIPALS, *FORMER_TOKENS, *RESIDENTS, *GROUPS, *AUDIT)
