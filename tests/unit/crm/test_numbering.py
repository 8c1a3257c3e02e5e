from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crm_api.domain.numbering import Candidate, Place, candidate, number_to_dial, place_code_problem

ENTRANCE = (Place("", 1, 5),)
GATE = (Place("21", 1, None), Place("22", 2, None))
codes = st.one_of(st.just(""), st.integers(12, 9999).map(str))


def test_an_entrance_is_dialled_by_apartment() -> None:
    assert candidate(ENTRANCE, "12") == Candidate(1, 5, 12)


def test_a_gate_is_dialled_by_code_and_apartment() -> None:
    assert candidate(GATE, "2212") == Candidate(2, None, 12)
    assert candidate(GATE, "22") is None
    assert candidate(GATE, "2312") is None


def test_leading_zeros_are_another_number() -> None:
    assert candidate(ENTRANCE, "012") is None
    assert candidate(GATE, "21012") is None


def test_112_is_no_apartment_and_0112_is() -> None:
    assert candidate(ENTRANCE, "112") is None
    assert candidate(ENTRANCE, "0112") == Candidate(1, 5, 112)
    assert candidate(GATE, "21112") == Candidate(1, None, 112)


def test_what_is_no_number_is_no_apartment() -> None:
    for dialled in ("", "0", "1a", "١٢", "*1", "99999", "-1", "+1", "21*12", "*", "#12"):
        assert candidate(ENTRANCE, dialled) is None


def test_a_gate_with_a_separator_is_dialled_by_house_separator_and_apartment() -> None:
    gate = (Place("7*", 1, None), Place("77*", 2, None), Place("7#", 3, None))
    assert candidate(gate, "7*12") == Candidate(1, None, 12)
    assert candidate(gate, "77*12") == Candidate(2, None, 12)
    assert candidate(gate, "7#112") == Candidate(3, None, 112)
    for dialled in ("712", "7*", "*12", "7**12", "7*012", "7*1*2"):
        assert candidate(gate, dialled) is None


@given(codes, st.integers(1, 9999))
def test_each_apartment_has_one_number_that_means_it(code: str, number: int) -> None:
    dialled = number_to_dial(code, number)
    assert dialled != "112"
    assert candidate((Place(code, 1, None),), dialled) == Candidate(1, None, number)


@given(st.lists(codes, min_size=1, max_size=4), st.text("0123456789", max_size=7))
def test_no_two_places_claim_one_number(place_codes: list[str], dialled: str) -> None:
    if place_code_problem(place_codes) is None:
        places = [Place(code, n, None) for n, code in enumerate(place_codes)]
        assert len([p for p in places if candidate((p,), dialled)]) <= 1


def test_codes_of_a_gate_are_checked() -> None:
    for right in ([""], ["21", "22"], ["211", "22"], ["112", "12"], ["7120", "13"]):
        assert place_code_problem(right) is None, right
    for wrong in (["", "21"], ["11", "21"], ["21", "21"], ["1", "2"], ["211", "21"], ["10"], ["012", "13"], ["12345"]):
        assert place_code_problem(wrong) is not None, wrong


def test_a_separator_allows_short_codes_and_such_that_begin_alike() -> None:
    for right in ([""], ["7", "77"], ["1", "11", "112"], ["0", "01"]):
        assert place_code_problem(right, "*") is None, right
    for wrong in (["", "7"], ["7", "7"], ["12345"], ["7*"]):
        assert place_code_problem(wrong, "#") is not None, wrong
