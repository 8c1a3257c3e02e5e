"""The statements that read what a ring plan is decided from: for SQLite, for PostgreSQL, or for both."""

from __future__ import annotations

PLACE_CODE = "CASE WHEN pp.code = '' THEN '' ELSE pp.code || coalesce(p.separator, '') END"
_OF_PANEL = f"""
       p.id, p.company_id, p.name, c.language, coalesce(p.talk_limit_s, c.talk_limit_s) AS talk_limit_s,
       c.ring_timeout_s, coalesce(p.ring_limit_s, c.ring_limit_s) AS ring_limit_s, c.message_limit_s,
       c.records_calls, d.id AS door_id, d.method, d.dtmf, pp.id AS place_id, {PLACE_CODE} AS code,
       pp.house_id, pp.entrance_id, d.output"""
# A row for each place and door.
_PANEL_BY_ACCOUNT = """FROM accounts a
JOIN panels p ON p.account_id = a.id
JOIN companies c ON c.id = p.company_id
LEFT JOIN doors d ON d.panel_id = p.id
LEFT JOIN panel_places pp ON pp.panel_id = p.id
WHERE a.account = ?"""
PANEL = f"SELECT {_OF_PANEL} {_PANEL_BY_ACCOUNT}"
APARTMENT = "SELECT id, entrance_id FROM apartments WHERE house_id = ? AND number = ?"
# An account of one resident's own has the rights that he has in the apartment: none after a guest's end.
RINGS = """(a.enabled AND (a.resident_id IS NULL OR EXISTS (
    SELECT 1 FROM residencies r WHERE r.resident_id = a.resident_id AND r.apartment_id = a.apartment_id
    AND (r.ends_at_ms IS NULL OR r.ends_at_ms > ?))))"""
# On duty or not: whoever reaches the house's panels from his desk opens them, and may when he is called, too.
ANSWERS_HERE = """EXISTS (
    SELECT 1 FROM concierge_desks k WHERE k.account_id = a.id AND (k.house_id IS NULL OR k.house_id = ?))"""
WAKES = "EXISTS (SELECT 1 FROM push_tokens d WHERE d.account_id = a.id AND d.invalidated_at_ms IS NULL)"
# Apartment, members, blocks and kept plan in one statement: on PostgreSQL a round trip costs more than what it reads.
# What PostgreSQL spends on it is mostly setting up each node, so there are few: hardly a sub-select, no order (who
# reads puts the rows of each part in order), and the same types in each part, else a node before it converts them.
_NO_INT, _NO_TEXT = "CAST(NULL AS BIGINT)", "CAST(NULL AS TEXT)"
_NOTHING = f", {_NO_INT}" * 5 + f", {_NO_TEXT}" * 2
_OF_APARTMENT = f", number, {_NO_INT}, house_id, {_NO_INT}, {_NO_INT}, {_NO_TEXT}, {_NO_TEXT}"


def _of_home(house: str, company: str, more: str, more_of_home: str) -> str:
    """Return the parts of a statement that read the apartment `ap` of a house."""
    return f"""
SELECT 0, a.id, CAST(0 AS BIGINT), a.account, a.kind,
       (a.enabled AND (a.resident_id IS NULL OR (r.id IS NOT NULL AND (r.ends_at_ms IS NULL OR r.ends_at_ms > ?)))),
       a.phone, a.enabled, a.quiet_from_min, a.quiet_until_min, a.resident_id, r.ring_order, {WAKES}{more}
FROM ap JOIN accounts a ON a.apartment_id = ap.id
LEFT JOIN residencies r ON r.resident_id = a.resident_id AND r.apartment_id = a.apartment_id
UNION ALL
SELECT 1, b.id, {_NO_INT}, {_NO_TEXT}, {_NO_TEXT}, k.stops_calls, {_NO_TEXT}, k.stops_opening,
       {_NO_INT}, {_NO_INT}, {_NO_INT}, {_NO_INT}, {{false}}{more}
FROM ap JOIN blocks b ON b.apartment_id = ap.id JOIN block_kinds k ON k.id = b.kind_id
WHERE b.starts_at_ms <= ? AND (b.ends_at_ms IS NULL OR b.ends_at_ms > ?)
UNION ALL
SELECT 2, s.position, coalesce(t.position, 0), t.kind, s.on_refusal, s.one_by_one, {_NO_TEXT}, s.confirm,
       s.ring_timeout_s, t.account_id, {_NO_INT}, {_NO_INT}, {{false}}{more}
FROM ring_stages s
LEFT JOIN ring_targets t ON t.stage_id = s.id
WHERE s.plan_id = coalesce(
    (SELECT id FROM ring_plans WHERE apartment_id = (SELECT id FROM ap)),
    (SELECT id FROM ring_plans WHERE house_id = {house}),
    (SELECT id FROM ring_plans WHERE company_id = {company} AND house_id IS NULL AND apartment_id IS NULL))
UNION ALL
SELECT 3, id, {_NO_INT}, {_NO_TEXT}, {_NO_TEXT}, {{false}}, {_NO_TEXT}, {{false}},
       entrance_id, {_NO_INT}, {_NO_INT}, {_NO_INT}, {{false}}{more_of_home}
FROM ap
"""  # noqa: S608 - constants


# NOT MATERIALIZED: of a table made for the moment SQLite expects many rows, and reads all blocks there are.
HOUSEHOLD = f"""
WITH ap AS NOT MATERIALIZED (SELECT id, entrance_id FROM apartments WHERE house_id = ? AND number = ?)
{_of_home("?", "?", "", "")}
"""  # noqa: S608 - constants
# For PostgreSQL: the panel, and at once the apartment that the number means there unless the numbering policy says
# otherwise. SQLite has no round trips to save; there the one statement costs more than the two.
PANEL_AND_HOUSEHOLD = f"""
WITH panel AS MATERIALIZED (
    SELECT {_OF_PANEL},
           CASE WHEN p.separator IS NULL AND length(pp.code) < ? AND substr(?, 1, length(pp.code)) = pp.code
           THEN CAST(substr(?, length(pp.code) + 1) AS BIGINT) END AS number
    {_PANEL_BY_ACCOUNT}),
ap AS MATERIALIZED (
    SELECT ap.id, ap.entrance_id, ap.house_id, ap.number, ap.company_id
    FROM panel JOIN apartments ap ON ap.house_id = panel.house_id AND ap.number = panel.number LIMIT 1)
{_of_home("(SELECT house_id FROM ap)", "(SELECT company_id FROM ap)", _NOTHING, _OF_APARTMENT)}
UNION ALL
SELECT 4, id, coalesce(place_id, 0), name, language, records_calls, method, FALSE, company_id, talk_limit_s,
       ring_timeout_s, ring_limit_s, FALSE, message_limit_s, door_id, house_id, entrance_id, output, dtmf, code
FROM panel
""".replace("{false}", "FALSE")  # noqa: S608 - constants


# What a kept plan names beside kinds: accounts of this apartment or of others.
NAMED = f"""
SELECT a.id, a.account, a.kind, {RINGS}, a.phone, a.apartment_id, a.quiet_from_min, a.quiet_until_min, {WAKES},
       {ANSWERS_HERE}, a.enabled
FROM accounts a WHERE a.id IN ({{accounts}})
"""  # noqa: S608 - constants
HOUSEHOLDS = {"sqlite": HOUSEHOLD.replace("{false}", "0"), "postgresql": HOUSEHOLD.replace("{false}", "FALSE")}
TIME_ZONE = """
SELECT ci.time_zone FROM houses h JOIN companies c ON c.id = h.company_id
JOIN cities ci ON ci.id = coalesce(h.city_id, c.city_id) WHERE h.id = ?
"""
DESKS = f"""
SELECT k.priority, a.account, a.kind, k.phone, k.on_duty, a.enabled, k.phone IS NULL AND {WAKES},
       a.quiet_from_min, a.quiet_until_min
FROM concierge_desks k JOIN accounts a ON a.id = k.account_id
WHERE k.company_id = ? AND (k.house_id IS NULL OR k.house_id IN ({{houses}}))
ORDER BY k.priority, k.id
"""  # noqa: S608 - constants
DISPATCH = """
SELECT a.account, a.kind, a.enabled FROM dispatch_centres d JOIN accounts a ON a.id = d.account_id
WHERE d.city_id = coalesce(
    (SELECT h.city_id FROM panel_places pp JOIN houses h ON h.id = pp.house_id
     WHERE pp.panel_id = ? ORDER BY pp.id LIMIT 1),
    (SELECT city_id FROM companies WHERE id = ?))
UNION ALL
SELECT a.account, a.kind, a.enabled FROM dispatch_centres d JOIN accounts a ON a.id = d.account_id
WHERE d.company_id = ?
"""
