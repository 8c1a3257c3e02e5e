"""The CRM: the only owner of the database, reached over REST."""
