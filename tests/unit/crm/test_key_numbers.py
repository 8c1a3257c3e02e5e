from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crm_api.domain.key_numbers import ByteOrder, KeyNumberError, Notation, normalised, written

NUMBER = st.binary(min_size=3, max_size=10).map(lambda raw: raw.lstrip(b"\0").rjust(3, b"\0").hex().upper())
REAL = NUMBER.filter(lambda number: set(number) not in ({"0"}, {"F"}))


@pytest.mark.parametrize(
    ("text", "notation", "byte_order", "kept"),
    [
        ("00C688AC", "auto", "high_first", "C688AC"),
        ("0013011116", "auto", "high_first", "C688AC"),
        ("198,34988", "auto", "high_first", "C688AC"),
        ("198/34988", "auto", "high_first", "C688AC"),
        (" 00-c6-88-ac ", "auto", "high_first", "C688AC"),
        ("0000000000C688AC", "auto", "high_first", "C688AC"),
        ("0x00C688AC", "auto", "high_first", "C688AC"),
        ("AC88C600", "hex", "low_first", "C688AC"),
        ("2894644736", "decimal", "low_first", "C688AC"),
        ("0x0123456789", "auto", "high_first", "0123456789"),
        ("0000067305985", "decimal", "low_first", "0102030400"),
        ("67305985", "decimal", "low_first", "01020304"),
        ("172,35014", "wiegand", "low_first", "C688AC"),
        ("12345678", "hex", "high_first", "12345678"),
        ("12345678", "decimal", "high_first", "BC614E"),
        ("04:A2:24:5A:C6:49:80", "auto", "high_first", "04A2245AC64980"),
    ],
)
def test_every_notation_of_one_key_is_one_number(
    text: str, notation: Notation, byte_order: ByteOrder, kept: str
) -> None:
    assert normalised(text, notation, byte_order) == kept


@pytest.mark.parametrize(
    ("text", "notation", "remedy"),
    [
        ("12345678", "auto", "say which"),
        ("9999999999", "auto", "say which"),
        ("", "auto", "is no number"),
        ("ключ", "auto", "is no number"),
        ("٠٠١٣٠١١١١٦", "auto", "is no number"),
        ("C688A", "hex", "has 5 digits"),
        ("0C688AC", "hex", "even"),
        ("0" * 60, "hex", "digits"),
        ("1234567890123456789012", "hex", "at most 10"),
        ("00000000", "hex", "read nothing"),
        ("FFFFFFFF", "hex", "read nothing"),
        ("256,1", "wiegand", "up to 255"),
        ("1,65536", "wiegand", "65535"),
        ("=cmd|' /C calc'!A0", "auto", "is no number"),
        ("9" * 5000, "decimal", "no decimal"),
    ],
)
def test_what_is_no_key_is_refused_with_a_remedy(text: str, notation: Notation, remedy: str) -> None:
    with pytest.raises(KeyNumberError, match=remedy):
        normalised(text, notation)


@given(REAL, st.sampled_from(["high_first", "low_first"]))
def test_hexadecimal_is_read_back_in_either_order(number: str, byte_order: ByteOrder) -> None:
    assert normalised(written(number, "hex", byte_order), "hex", byte_order) == number


@given(REAL, st.sampled_from(["high_first", "low_first"]))
@example("0102030400", "low_first")
def test_decimal_is_read_back_in_either_order(number: str, byte_order: ByteOrder) -> None:
    assert normalised(written(number, "decimal", byte_order), "decimal", byte_order) == number


@given(REAL.filter(lambda number: len(number) == 6), st.sampled_from(["high_first", "low_first"]))
def test_wiegand_of_three_bytes_is_read_back_in_either_order(number: str, byte_order: ByteOrder) -> None:
    assert normalised(written(number, "wiegand", byte_order), "wiegand", byte_order) == number


@given(st.binary(min_size=4, max_size=10).filter(lambda raw: raw[0] != 0 and set(raw) != {255}))
def test_a_decimal_without_padding_has_the_bytes_that_it_needs(raw: bytes) -> None:
    assert normalised(str(int.from_bytes(raw, "big")), "decimal", "low_first") == (
        raw[::-1].lstrip(b"\0").rjust(3, b"\0").hex().upper()
    )


@given(st.text(max_size=30), st.sampled_from(["auto", "hex", "decimal", "wiegand"]))
def test_any_text_is_a_number_or_refused(text: str, notation: Notation) -> None:
    with contextlib.suppress(KeyNumberError):
        assert 6 <= len(normalised(text, notation)) <= 20


def test_wiegand_is_what_cards_print() -> None:
    assert written("C688AC", "wiegand") == "198,34988"
    assert written("C688AC", "decimal") == "0013011116"
    assert written("C688AC") == "00C688AC"
