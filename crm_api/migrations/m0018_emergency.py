"""Emergency calls: dispatch centres, the numbers of each city, who holds which, every call, and what Kamailio reads.

A number has one holder because the holder is a column of the number: no order of events can give it two.
"""

CENTRES = (
    """CREATE TABLE emergency_centres (
    id {id},
    city_id {int} NOT NULL UNIQUE REFERENCES cities (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    number TEXT NOT NULL,
    public_number TEXT,
    test_number TEXT,
    country TEXT NOT NULL DEFAULT 'RU' CHECK (length(country) = 2),
    records_calls {bool} NOT NULL,
    keep_s {int} NOT NULL CHECK (keep_s BETWEEN 0 AND 2592000),
    low_percent {int} NOT NULL CHECK (low_percent BETWEEN 0 AND 100),
    email TEXT,
    webhook_url TEXT,
    webhook_secret TEXT,
    sms_number TEXT,
    version {int} NOT NULL DEFAULT 1
){strict}""",
    # A city that had a number of its dispatch centre keeps it.
    """INSERT INTO emergency_centres (city_id, name, number, public_number, records_calls, keep_s, low_percent)
    SELECT id, name, dispatch_number, CASE WHEN substr(dispatch_number, 1, 1) = '+' THEN dispatch_number END,
        {false}, 86400, 20
    FROM cities WHERE dispatch_number IS NOT NULL""",
    """CREATE TABLE emergency_trunks (
    id {id},
    city_id {int} NOT NULL REFERENCES cities (id) ON DELETE CASCADE,
    trunk TEXT NOT NULL,
    position {int} NOT NULL,
    caller_in TEXT NOT NULL CHECK (caller_in IN ('from', 'asserted', 'both')),
    sends_location {bool} NOT NULL,
    version {int} NOT NULL DEFAULT 1,
    UNIQUE (city_id, trunk)
){strict}""",
    """CREATE TABLE emergency_rules (
    id {id},
    company_id {int} NOT NULL UNIQUE REFERENCES companies (id) ON DELETE CASCADE,
    numbers TEXT NOT NULL,
    sos_number TEXT,
    from_apps TEXT NOT NULL CHECK (from_apps IN ('own_house', 'refused')),
    email TEXT,
    webhook_url TEXT,
    webhook_secret TEXT
){strict}""",
)

NUMBERS = (
    """CREATE TABLE city_numbers (
    id {id},
    city_id {int} NOT NULL REFERENCES cities (id),
    number TEXT NOT NULL UNIQUE CHECK (substr(number, 1, 1) = '+'),
    trunk TEXT NOT NULL,
    shared {bool} NOT NULL,
    in_service {bool} NOT NULL,
    panel_id {int} REFERENCES panels (id) ON DELETE SET NULL,
    call_id TEXT,
    in_call {bool} NOT NULL DEFAULT {false},
    leased_at_ms {int},
    held_until_ms {int} NOT NULL DEFAULT 0,
    version {int} NOT NULL DEFAULT 1,
    CHECK (NOT shared OR panel_id IS NULL)
){strict}""",
    "CREATE UNIQUE INDEX city_numbers_panel ON city_numbers (panel_id) WHERE panel_id IS NOT NULL",
    "CREATE UNIQUE INDEX city_numbers_shared ON city_numbers (city_id) WHERE shared = {true}",
    "CREATE INDEX city_numbers_free ON city_numbers (city_id, held_until_ms, id)",
    "CREATE INDEX city_numbers_call ON city_numbers (call_id) WHERE call_id IS NOT NULL",
    """CREATE TABLE number_leases (
    id {id},
    number_id {int} NOT NULL REFERENCES city_numbers (id) ON DELETE CASCADE,
    city_id {int} NOT NULL,
    company_id {int},
    panel_id {int} REFERENCES panels (id) ON DELETE SET NULL,
    number TEXT NOT NULL,
    panel TEXT NOT NULL,
    leased_at_ms {int} NOT NULL,
    calls {int} NOT NULL,
    call_id TEXT NOT NULL,
    held_until_ms {int} NOT NULL,
    ended_at_ms {int},
    end_reason TEXT CHECK (end_reason IN ('expired', 'released', 'moved', 'withdrawn', 'shared')),
    reason TEXT
){strict}""",
    "CREATE INDEX number_leases_number ON number_leases (number_id, id)",
    "CREATE UNIQUE INDEX number_leases_open ON number_leases (number_id) WHERE ended_at_ms IS NULL",
    "CREATE INDEX number_leases_call ON number_leases (call_id)",
    "CREATE INDEX number_leases_panel ON number_leases (panel_id, id)",
    "CREATE INDEX number_leases_company ON number_leases (company_id, id)",
    "CREATE INDEX number_leases_city ON number_leases (city_id, leased_at_ms)",
)

CALLS = (
    """CREATE TABLE emergency_calls (
    id {id},
    call_id TEXT NOT NULL UNIQUE,
    direction TEXT NOT NULL CHECK (direction IN ('out', 'back')),
    company_id {int},
    panel_id {int} REFERENCES panels (id) ON DELETE SET NULL,
    city_id {int},
    panel TEXT,
    dialled TEXT,
    number TEXT,
    number_source TEXT,
    test {bool} NOT NULL DEFAULT {false},
    started_at_ms {int} NOT NULL,
    answered_at_ms {int},
    ended_at_ms {int},
    route TEXT,
    result TEXT,
    steps TEXT NOT NULL DEFAULT '[]'
){strict}""",
    "CREATE INDEX emergency_calls_company ON emergency_calls (company_id, id)",
    "CREATE INDEX emergency_calls_panel ON emergency_calls (panel_id, id)",
    "CREATE INDEX emergency_calls_number ON emergency_calls (number, started_at_ms)",
    "CREATE INDEX emergency_calls_city ON emergency_calls (city_id, started_at_ms)",
    """CREATE TABLE emergency_notices (
    id {id},
    company_id {int},
    city_id {int},
    call_id TEXT,
    kind TEXT NOT NULL,
    channel TEXT NOT NULL CHECK (channel IN ('email', 'webhook', 'sms')),
    destination TEXT NOT NULL,
    body TEXT NOT NULL,
    made_at_ms {int} NOT NULL,
    due_at_ms {int} NOT NULL,
    attempts {int} NOT NULL DEFAULT 0,
    sent_at_ms {int},
    given_up_at_ms {int},
    last_error TEXT,
    UNIQUE (call_id, kind, channel, destination)
){strict}""",
    "CREATE INDEX emergency_notices_due ON emergency_notices (due_at_ms) WHERE sent_at_ms IS NULL",
    "CREATE INDEX emergency_notices_company ON emergency_notices (company_id, id)",
    """CREATE TABLE emergency_findings (
    id {id},
    company_id {int} NOT NULL REFERENCES companies (id) ON DELETE CASCADE,
    panel_id {int} NOT NULL REFERENCES panels (id) ON DELETE CASCADE,
    panel TEXT NOT NULL,
    city_id {int},
    problem TEXT NOT NULL,
    found_at_ms {int} NOT NULL,
    UNIQUE (panel_id, problem)
){strict}""",
    "CREATE INDEX emergency_findings_company ON emergency_findings (company_id, id)",
)

VIEWS = (
    # The place of a panel is the first that it serves; an account without a panel belongs to its company's city.
    # Degrees in millionths, as text: Kamailio reads no fractions.
    """CREATE VIEW kamailio_emergency_panels AS
    SELECT a.account, p.id AS panel_id, a.company_id, coalesce(h.city_id, c.city_id) AS city_id,
        coalesce(h.address, '') AS address, coalesce(e.number, 0) AS entrance,
        coalesce(CAST(CAST(round(coalesce(p.latitude, h.latitude) * 1000000) AS BIGINT) AS TEXT), '') AS latitude,
        coalesce(CAST(CAST(round(coalesce(p.longitude, h.longitude) * 1000000) AS BIGINT) AS TEXT), '') AS longitude,
        coalesce(r.numbers, '["101", "102", "103", "104"]') AS numbers, coalesce(r.sos_number, '') AS sos_number,
        coalesce(c.language, 'en') AS language
    FROM accounts a
    LEFT JOIN panels p ON p.account_id = a.id
    LEFT JOIN companies c ON c.id = a.company_id
    LEFT JOIN emergency_rules r ON r.company_id = a.company_id
    LEFT JOIN panel_places pp ON pp.id = (SELECT min(id) FROM panel_places WHERE panel_id = p.id)
    LEFT JOIN houses h ON h.id = pp.house_id
    LEFT JOIN entrances e ON e.id = pp.entrance_id
    WHERE a.kind = 'panel'""",
    # Apartments 101 to 104 that are dialled by their bare number: there these are no emergency numbers.
    """CREATE VIEW kamailio_emergency_apartments AS
    SELECT a.account, ap.number FROM apartments ap
    JOIN panel_places pp ON pp.house_id = ap.house_id AND pp.code = ''
        AND (pp.entrance_id IS NULL OR pp.entrance_id = ap.entrance_id)
    JOIN panels p ON p.id = pp.panel_id JOIN accounts a ON a.id = p.account_id
    WHERE ap.number BETWEEN 101 AND 104""",
    """CREATE VIEW kamailio_emergency_cities AS
    SELECT c.id AS city_id, c.name, coalesce(e.country, 'RU') AS country, coalesce(n.number, '') AS number,
        coalesce(n.trunk, '') AS trunk, coalesce(e.number, '') AS centre,
        coalesce(e.public_number, '') AS public_number,
        coalesce(e.test_number, '') AS test_number,
        CASE WHEN e.records_calls = {true} THEN 1 ELSE 0 END AS records_calls
    FROM cities c
    LEFT JOIN emergency_centres e ON e.city_id = c.id
    LEFT JOIN city_numbers n ON n.city_id = c.id AND n.shared = {true} AND n.in_service = {true}""",
    """CREATE VIEW kamailio_emergency_trunks AS
    SELECT city_id, position, trunk, caller_in, CASE WHEN sends_location = {true} THEN 1 ELSE 0 END AS sends_location
    FROM emergency_trunks""",
    "CREATE VIEW kamailio_city_numbers AS SELECT number, city_id, trunk FROM city_numbers",
)

STATEMENTS = (*CENTRES, *NUMBERS, *CALLS, *VIEWS)
