"""A city's `dispatch_number` is that of its dispatch centre: cities made with one since m0018 get their centre.

Not those whose centre was removed, as the audit log tells: on purpose. As before, such a city shows none.
A public number is left to the operator: what was accepted as `dispatch_number` may be none.

The column stays, unread: a server of the release before, which runs until it is restarted, asks for it.
"""

_MADE = """INSERT INTO emergency_centres (city_id, name, number, records_calls, keep_s, low_percent)
    SELECT id, name, dispatch_number, {false}, 86400, 20 FROM cities
    WHERE dispatch_number IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM emergency_centres centre WHERE centre.city_id = cities.id)
        AND NOT EXISTS (SELECT 1 FROM audit_log
            WHERE noun = 'emergency centre' AND action = 'remove' AND (removed) = cities.id)"""

STATEMENTS = (
    {
        "sqlite": _MADE.replace("(removed)", "json_extract(state_before, '$.city_id')"),
        "postgresql": _MADE.replace("(removed)", "CAST(CAST(state_before AS json) ->> 'city_id' AS bigint)"),
    },
)
