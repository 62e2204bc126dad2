from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataloader_core.errors import ConfigurationError
from dataloader_core.types import MAX_PRECISION, TYPE_NAMES, ColumnType, decimal

PLAIN = [name for name in TYPE_NAMES if name != "decimal"]
decimals = st.integers(1, MAX_PRECISION).flatmap(lambda p: st.tuples(st.just(p), st.integers(0, p)))


@pytest.mark.parametrize("name", PLAIN)
def test_a_type_is_read_back_as_it_was_written(name):
    assert ColumnType.parse(str(ColumnType(name))) == ColumnType(name)


@given(decimals)
def test_a_decimal_is_read_back_as_it_was_written(shape):
    assert ColumnType.parse(str(decimal(*shape))) == decimal(*shape)


@pytest.mark.parametrize("shape", [(0, 0), (39, 0), (5, 6), (5, -1)])
def test_a_decimal_that_delta_cannot_hold_is_refused(shape):
    with pytest.raises(ConfigurationError, match="does not fit"):
        decimal(*shape)


@pytest.mark.parametrize("text", ["money", "decimal", "decimal(5)", "Decimal(5,2)", "", "timestamp(6)"])
def test_what_is_not_in_the_closed_set_is_refused(text):
    with pytest.raises(ConfigurationError):
        ColumnType.parse(text)


def test_only_decimals_have_a_precision():
    with pytest.raises(ConfigurationError, match="bigint takes no precision"):
        ColumnType("bigint", 5, 0)
