"""Every command of the documentation but the how-to pages, typed page by page in an empty folder."""

from __future__ import annotations

import re

import pytest

from tests.docs.console import TARGET, as_shown, commands
from tests.docs.following import OTHERS, WITH_COMMANDS, follow
from tests.docs.pages import REPOSITORY, Page

TARGETS = set(re.findall(r"^(\w+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("page", OTHERS, ids=str)
def test_a_reader_can_do_what_the_page_says(page: Page, request: pytest.FixtureRequest) -> None:
    follow(page, request)


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=str)
def test_what_is_made_is_a_target_of_the_makefile(page: Page) -> None:
    typed = [command.typed for block in page.blocks if block.language == "console" for command in commands(block.text)]
    assert {match[1] for text in typed if (match := TARGET.fullmatch(text))} <= TARGETS


def test_what_a_page_shows_is_held_against_what_comes() -> None:
    assert as_shown("2 of 2 tables loaded in ...", "2 of 2  tables\nloaded in 3.1s")
    assert as_shown("first\n...\nlast", "first\nlast")
    assert not as_shown("2 of 2 tables", "1 of 2 tables")
    assert not as_shown("first", "first\nsecond")
