"""Background processes look for work many times an hour and find none: that takes no lock and waits for no writer."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from crm_api.adapters.panel_drivers import panel_drivers
from crm_api.services.desk_pushes import DeskPushes
from crm_api.services.emergency_tests import EmergencyTests
from crm_api.services.message_pictures import MessagePictures
from crm_api.services.message_pushes import MessagePushes
from crm_api.services.message_sounds import MessageSounds
from crm_api.services.notice_delivery import NoticeDelivery
from crm_api.services.telling import is_due

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crm_api.bootstrap import Services
    from crm_api.services.context import Context


@contextmanager
def a_long_write(context: Context) -> Iterator[None]:
    """Somebody else writes all the while."""
    began, over = threading.Event(), threading.Event()

    def write() -> None:
        with context.database.transaction():
            context.database.rows("INSERT INTO outbox (due_at_ms, scope, payload) VALUES (0, 'panel', '1')")
            began.set()
            over.wait(60)
        context.database.forget_connection()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert began.wait(60)
        yield
    finally:
        over.set()
        writer.join()


def test_a_look_that_finds_nothing_waits_for_no_writer(context: Context, services: Services) -> None:
    if context.database.dialect == "sqlite":
        context.database.rows("PRAGMA busy_timeout = 0")  # whoever wants to write now, fails
    pictures = MessagePictures(context, panel_drivers(), "")
    with a_long_write(context):
        assert services.jobs.take() is None
        assert EmergencyTests(context).take() is None
        assert EmergencyTests(context).give_up() == 0
        assert NoticeDelivery(context, {}).deliver() == 0
        assert MessagePushes(context, pictures, MessageSounds(context, "")).take() == []
        assert DeskPushes(context).take() == []
        assert not is_due(context)
