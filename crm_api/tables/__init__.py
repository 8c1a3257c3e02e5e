"""Tables, and the SQL that the call path needs."""
