"""How much a step may take away."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataloader_core.errors import LossRefusedError
from dataloader_core.loss import check_merge, check_replace
from dataloader_core.plan import LossPolicy

counts = st.integers(0, 1000)
fractions = st.sampled_from([0.0, 0.25, 0.5, 1.0])


def refuses(check: object, *args: object, **more: object) -> bool:
    assert callable(check)
    try:
        check(*args, **more)
    except LossRefusedError:
        return True
    return False


@given(read=counts, there=counts, fraction=fractions, allow=st.booleans())
def test_an_overwrite_is_refused_exactly_where_it_loses_too_much(
    read: int, there: int, fraction: float, allow: bool
) -> None:
    if read == 0:
        expected = there > 0 and not allow
    else:
        expected = there > 0 and (there - read) / there > fraction
    assert refuses(check_replace, LossPolicy(allow, fraction), read=read, there=there) == expected


@given(read=counts, there=counts, share=st.floats(0, 1), fraction=fractions, allow=st.booleans())
def test_a_window_is_refused_exactly_where_it_is_empty_or_deletes_too_much(
    read: int, there: int, share: float, fraction: float, allow: bool
) -> None:
    deleted = int(there * share)
    if read == 0:
        expected = there > 0 and not allow
    else:
        expected = there > 0 and deleted / there > fraction
    policy = LossPolicy(allow, fraction)
    assert refuses(check_merge, policy, read=read, there=there, deleted=deleted, window=True) == expected
    assert not refuses(check_merge, policy, read=read, there=there, deleted=0, window=False)


def test_the_refusal_names_the_counts_and_the_cure() -> None:
    with pytest.raises(LossRefusedError, match=r"leave 3 rows .* 10: 7 fewer.*0\.5.*max_delete_fraction"):
        check_replace(LossPolicy(), read=3, there=10)
