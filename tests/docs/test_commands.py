"""Every command of the documentation, typed page by page in an empty folder."""

from __future__ import annotations

import re

import pytest

from tests.docs.conftest import Reader
from tests.docs.console import TARGET, as_shown, commands
from tests.docs.pages import REPOSITORY, Page, all_pages

WITH_COMMANDS = [page for page in all_pages() if any(block.language == "console" for block in page.blocks)]
TARGETS = set(re.findall(r"^(\w+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=str)
def test_a_reader_can_do_what_the_page_says(page: Page, request: pytest.FixtureRequest) -> None:
    reader: Reader = request.getfixturevalue("newcomer" if page.starts_from_nothing else "user")
    for block in page.blocks:
        try:
            reader.follow(block)
        except AssertionError as error:
            raise AssertionError(f"{page}, block at line {block.line}: {error}") from None


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=str)
def test_what_is_made_is_a_target_of_the_makefile(page: Page) -> None:
    typed = [command.typed for block in page.blocks if block.language == "console" for command in commands(block.text)]
    assert {match[1] for text in typed if (match := TARGET.fullmatch(text))} <= TARGETS


def test_what_a_page_shows_is_held_against_what_comes() -> None:
    assert as_shown("2 of 2 tables loaded in ...", "2 of 2  tables\nloaded in 3.1s")
    assert as_shown("first\n...\nlast", "first\nlast")
    assert not as_shown("2 of 2 tables", "1 of 2 tables")
    assert not as_shown("first", "first\nsecond")
