"""Every command of the how-to pages, typed page by page in an empty folder."""

from __future__ import annotations

import pytest

from tests.docs.following import HOW_TO, follow
from tests.docs.pages import Page


@pytest.mark.parametrize("page", HOW_TO, ids=str)
def test_a_reader_can_do_what_the_page_says(page: Page, request: pytest.FixtureRequest) -> None:
    follow(page, request)
