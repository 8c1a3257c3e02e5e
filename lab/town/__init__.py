"""The demo town and the bench town."""
