"""Which pages have commands, and what it takes to follow one."""

from __future__ import annotations

import pytest

from tests.docs.conftest import Reader
from tests.docs.pages import Page, all_pages

WITH_COMMANDS = [page for page in all_pages() if any(block.language == "console" for block in page.blocks)]
HOW_TO = [page for page in WITH_COMMANDS if page.path.parent.name == "how-to"]
OTHERS = [page for page in WITH_COMMANDS if page not in HOW_TO]


def follow(page: Page, request: pytest.FixtureRequest) -> None:
    """Do what the page says, block after block."""
    reader: Reader = request.getfixturevalue("newcomer" if page.starts_from_nothing else "user")
    for block in page.blocks:
        try:
            reader.follow(block)
        except AssertionError as error:
            raise AssertionError(f"{page}, block at line {block.line}: {error}") from None
