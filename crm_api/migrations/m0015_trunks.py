"""Trunks: carriers that phones are dialled through; routes say for whom, in which order and from which number.

A trunk belongs to the platform. A route without company serves every company, one without city every city.
`account_changes` also names trunks, as `trunk:<name>`: the proxy reads them anew then.
"""

STATEMENTS = (
    """CREATE TABLE trunks (
    id {id},
    version {int} NOT NULL DEFAULT 1,
    name TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 2 AND 32),
    kind TEXT NOT NULL CHECK (kind IN ('sip', 'twilio_voice')),
    address TEXT,
    transport TEXT NOT NULL CHECK (transport IN ('udp', 'tcp')),
    username TEXT,
    realm TEXT,
    ha1 TEXT CHECK (length(ha1) = 32),
    secret TEXT,
    registers {bool} NOT NULL,
    number_format TEXT NOT NULL CHECK (number_format IN ('e164', 'digits')),
    price_per_minute_micros {int} NOT NULL CHECK (price_per_minute_micros >= 0),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    billing_increment_s {int} NOT NULL CHECK (billing_increment_s BETWEEN 1 AND 3600),
    enabled {bool} NOT NULL,
    created_at_ms {int} NOT NULL,
    CHECK ((kind = 'sip') = (address IS NOT NULL)),
    CHECK ((kind = 'twilio_voice') = (secret IS NOT NULL)),
    CHECK ((ha1 IS NULL) = (realm IS NULL)),
    CHECK (username IS NOT NULL OR (ha1 IS NULL AND secret IS NULL AND NOT registers))
){strict}""",
    """CREATE TABLE trunk_routes (
    id {id},
    trunk_id {int} NOT NULL REFERENCES trunks (id) ON DELETE CASCADE,
    company_id {int} REFERENCES companies (id) ON DELETE CASCADE,
    city_id {int} REFERENCES cities (id) ON DELETE CASCADE,
    position {int} NOT NULL CHECK (position BETWEEN 1 AND 99),
    caller_number TEXT
){strict}""",
    "CREATE INDEX trunk_routes_trunk ON trunk_routes (trunk_id)",
    "CREATE INDEX trunk_routes_company ON trunk_routes (company_id)",
    "CREATE INDEX trunk_routes_city ON trunk_routes (city_id)",
    """CREATE VIEW kamailio_trunks AS
    SELECT name, address, transport, coalesce(username, '') AS username, coalesce(realm, '') AS realm,
        coalesce(ha1, '') AS ha1, CASE WHEN registers = {true} THEN 1 ELSE 0 END AS registers, number_format
    FROM trunks WHERE enabled = {true} AND kind = 'sip'""",
    # A phone that is rung may have to press a key before it is connected: an answering machine does not.
    "ALTER TABLE ring_stages ADD COLUMN confirm {bool} NOT NULL DEFAULT {false}",
    # What happened in a call, a line of JSON for each event, as they came: sorted, and rid of repetitions, when read.
    "ALTER TABLE call_records ADD COLUMN story TEXT",
    # No reference to the trunk: what was paid stays told when the carrier is gone.
    """CREATE TABLE phone_legs (
    call_id TEXT NOT NULL REFERENCES call_records (call_id) ON DELETE CASCADE,
    stage {int} NOT NULL,
    account TEXT NOT NULL,
    branch {int} NOT NULL,
    company_id {int},
    apartment_id {int},
    trunk TEXT NOT NULL,
    ended_at_ms {int} NOT NULL,
    phone_ms {int} NOT NULL,
    billed_s {int} NOT NULL,
    cost_micros {int} NOT NULL,
    currency TEXT NOT NULL,
    connected {bool} NOT NULL,
    PRIMARY KEY (call_id, stage, account, branch)
){keyed}""",
    "CREATE INDEX phone_legs_company ON phone_legs (company_id, ended_at_ms)",
    "CREATE INDEX phone_legs_apartment ON phone_legs (apartment_id, ended_at_ms)",
)
