from __future__ import annotations

from crm_api import migrations


def test_each_number_is_given_once() -> None:
    numbers = [name.partition("_")[0] for name in migrations.names()]
    assert len(numbers) == len(set(numbers))
