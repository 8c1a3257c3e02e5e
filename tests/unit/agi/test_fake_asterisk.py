from __future__ import annotations

import pytest

from tests.unit.agi.fake_asterisk import BrokenCommand, split_command, split_mset


def test_commas_are_kept_inside_quotes() -> None:
    assert split_mset('A="x,y",__B=1') == {"A": "x,y", "B": "1"}


def test_an_open_bracket_swallows_what_follows_even_inside_quotes() -> None:
    assert split_mset('A="(x",B=1') == {"A": '"(x",B=1'}


@pytest.mark.parametrize("argument", ['A="x', "A", r'A="x\y"', "a b=1"])
def test_what_asterisk_would_misread_is_refused(argument: str) -> None:
    with pytest.raises(BrokenCommand):
        split_mset(argument)


def test_words_of_a_command() -> None:
    assert split_command(r'EXEC MSet "A=\"x, y\""') == ["EXEC", "MSet", 'A="x, y"']
