from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataloader_core.errors import ConfigurationError, UnknownNameError
from dataloader_core.names import control_key, fold_columns, fold_table_name, match_name

parts = st.lists(st.text(alphabet='ab."_ é', min_size=1, max_size=5), min_size=1, max_size=3)


@given(parts, parts)
def test_two_different_tables_never_have_one_control_key(first, second):
    assert (control_key(*first) == control_key(*second)) is (first == second)


def test_plain_names_stay_readable_and_odd_ones_are_quoted():
    assert control_key("crm", "public", "orders") == "crm.public.orders"
    assert control_key("crm", "my.schema", 'an "odd" one') == 'crm."my.schema"."an ""odd"" one"'


def test_columns_that_delta_refuses_are_folded_and_others_are_not():
    assert fold_columns(["Order ID", "größe", "a=b", "plain"]) == {
        "Order ID": "Order_ID",
        "größe": "größe",
        "a=b": "a_b",
        "plain": "plain",
    }


@pytest.mark.parametrize("names", [["a b", "a,b"], ["A", "a"], ["a_b", "A B"]])
def test_columns_that_would_collide_in_delta_are_refused_by_name(names):
    with pytest.raises(ConfigurationError) as refused:
        fold_columns(names)
    assert all(repr(name) in str(refused.value) for name in names)


@given(st.text(min_size=1))
def test_a_folded_table_name_is_one_that_a_destination_takes(name):
    assert all(c.isascii() and (c.isalnum() or c == "_") for c in fold_table_name(name))


def test_an_exact_name_wins_over_one_in_another_case():
    assert match_name("column", "id", ["ID", "id"]) == "id"


def test_a_name_in_another_case_is_matched_where_only_one_fits():
    assert match_name("column", "ID", ["id", "other"]) == "id"


def test_an_ambiguous_case_is_refused_with_the_candidates():
    with pytest.raises(UnknownNameError, match="Write one of 'Id', 'ID' exactly"):
        match_name("column", "id", ["Id", "ID"])


def test_an_unknown_name_lists_the_known_and_the_nearest():
    with pytest.raises(UnknownNameError, match=r"known: 'amount', 'id'\. Did you mean 'amount'"):
        match_name("column", "amonut", ["id", "amount"])
