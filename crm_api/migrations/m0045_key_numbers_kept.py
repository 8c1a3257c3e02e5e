"""Access records keep the number of their key when the key is no more: the database itself writes it then.

To fill it in at once would write a city's millions of rows anew. A table that takes the place of `rfid_keys` needs the
trigger anew. Where m0041_openings_told_whole, of which this was a part, has made it, it is there already.
"""

from typing import Final

_KEEP_NUMBER: Final = "UPDATE access_records SET key_number = OLD.number WHERE key_id = OLD.id AND key_number IS NULL;"

STATEMENTS = (
    {
        "sqlite": None,
        "postgresql": "CREATE OR REPLACE FUNCTION rfid_keys_keep_number() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN {_KEEP_NUMBER} RETURN OLD; END $$",
    },
    {
        "sqlite": f"CREATE TRIGGER IF NOT EXISTS rfid_keys_keep_number BEFORE DELETE ON rfid_keys "
        f"BEGIN {_KEEP_NUMBER} END",
        "postgresql": "CREATE OR REPLACE TRIGGER rfid_keys_keep_number BEFORE DELETE ON rfid_keys "
        "FOR EACH ROW EXECUTE FUNCTION rfid_keys_keep_number()",
    },
)
