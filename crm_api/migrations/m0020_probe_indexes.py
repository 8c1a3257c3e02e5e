"""Which panel leads to an entrance is asked for each apartment of a campaign: without an index every panel was read."""

STATEMENTS = ("CREATE INDEX panel_places_entrance ON panel_places (entrance_id)",)
