"""What an account or a kind of block changes is looked up when it is delivered: all that was under way is there."""

from crm_api.migrations.outbox_scopes import outbox_of

STATEMENTS = outbox_of("numbers", "apartments", "account", "block_kind", "panel", "house", "company", "city")
