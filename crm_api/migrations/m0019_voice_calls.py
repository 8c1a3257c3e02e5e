"""Phones that a voice API (Twilio) calls: where its own calls come from, and what it was asked to do.

A trunk of kind `twilio_voice` has `networks`, comma-separated: Kamailio takes its calls from there alone.
"""

# What Twilio tells (https://www.twilio.com/docs/sip-trunking/ip-addresses), for trunks that are there already.
NETWORKS = (
    "54.172.60.0/30,54.244.51.0/30,54.171.127.192/30,35.156.191.128/30,"
    "54.65.63.192/30,54.169.127.128/30,54.252.254.64/30,177.71.206.192/30"
)
STATEMENTS = (
    "ALTER TABLE trunks ADD COLUMN networks TEXT",
    f"UPDATE trunks SET networks = '{NETWORKS}' WHERE kind = 'twilio_voice'",  # noqa: S608 - constants
    """CREATE VIEW kamailio_voice_trunks AS
    SELECT name, networks FROM trunks WHERE enabled = {true} AND kind = 'twilio_voice' AND networks IS NOT NULL""",
    # `url_key` is the end of the URLs that the API asks and tells; `token` is what its call to us must bring.
    """CREATE TABLE voice_calls (
    id {id},
    token TEXT NOT NULL UNIQUE,
    url_key TEXT NOT NULL UNIQUE,
    trunk_id {int} NOT NULL REFERENCES trunks (id) ON DELETE CASCADE,
    call_id TEXT NOT NULL,
    account TEXT NOT NULL,
    number TEXT NOT NULL,
    asked_at_ms {int} NOT NULL,
    sid TEXT UNIQUE,
    answered_at_ms {int},
    ended_at_ms {int}
){strict}""",
    "CREATE INDEX voice_calls_trunk ON voice_calls (trunk_id)",
    "CREATE INDEX voice_calls_asked ON voice_calls (asked_at_ms)",
    # What was told of a call, each status once: told again it is a replay.
    """CREATE TABLE voice_call_events (
    voice_call_id {int} NOT NULL REFERENCES voice_calls (id) ON DELETE CASCADE,
    status TEXT NOT NULL,
    at_ms {int} NOT NULL,
    PRIMARY KEY (voice_call_id, status)
){keyed}""",
)
