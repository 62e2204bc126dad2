"""Pages lead to each other, their Python is Python, their files can be read, their commands exist."""

from __future__ import annotations

import ast
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from urllib.parse import unquote

import click
import pytest
import typer.main
import yaml

from dataloader_core.cli.main import app
from tests.docs.console import commands
from tests.docs.pages import DOCS, REPOSITORY, Block, Page, all_pages

PAGES = all_pages()
BLOCKS = [pytest.param(block, id=f"{page}:{block.line}") for page in PAGES for block in page.blocks]
LOOSE_PYTHON = [
    pytest.param(block, id=f"{page}:{block.line}")
    for page in PAGES
    for block in page.blocks
    if block.language == "python" and block.title is None
]


def local_links(page: Page) -> Iterator[tuple[Page, str, str]]:
    """Links to files of the repository: the page they lead to, its anchor, and the link as written."""
    for link in page.links:
        if "://" not in link and not link.startswith("mailto:"):
            path, _, anchor = unquote(link).partition("#")
            yield Page((page.path.parent / path).resolve() if path else page.path), anchor, link


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_leads_somewhere(page: Page) -> None:
    for target, anchor, link in local_links(page):
        assert target.path.exists(), link
        assert not anchor or anchor in target.anchors, f"{link}: {target} has {sorted(target.anchors)}"


def test_every_page_can_be_reached_from_the_index() -> None:
    seen: set[Page] = set()
    waiting = [Page(DOCS / "index.md")]
    while waiting:
        page = waiting.pop()
        if page not in seen and page.path.suffix == ".md":
            seen.add(page)
            waiting += [target for target, _, _ in local_links(page)]
    assert {page for page in PAGES if page.path.is_relative_to(DOCS)} <= seen


def test_every_page_has_one_title() -> None:
    assert [str(page) for page in PAGES if len(re.findall(r"^# ", page.prose, re.MULTILINE)) != 1] == []


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_is_what_its_language_says(block: Block) -> None:
    assert block.language, "a block without a language"
    if block.language == "python":
        ast.parse(block.text)
    elif block.language == "yaml":
        yaml.safe_load(block.text)
    elif block.language == "toml":
        tomllib.loads(block.text)
    elif block.language == "json":
        json.loads(block.text)
    else:
        assert block.language in ("console", "sh", "sql", "ini", "mermaid", "text"), block.language


@pytest.mark.parametrize("block", LOOSE_PYTHON)
def test_python_that_is_no_file_runs(block: Block) -> None:
    exec(compile(block.text, "page", "exec"), {"__name__": "page"})  # noqa: S102  # the page's own words


def test_every_target_of_the_makefile_that_is_named_exists() -> None:
    targets = set(re.findall(r"^(\w+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"`make (\w+)", page.prose)}
    assert named <= targets
    assert {"demo", "dev", "test", "chaos", "bench"} <= named


def test_every_variable_that_a_page_uses_is_introduced() -> None:
    start = Page(DOCS / "getting-started.md").text
    for page in PAGES:
        exported = set(re.findall(r"(?:export |^| )(\w+)=", start + page.text, re.MULTILINE))
        for block in page.blocks:
            if block.language == "console":
                used = set(re.findall(r"\$\{?([A-Z_]+)", block.text))
                assert used <= exported | {"PWD", "PATH", "DATALOADER_CONTROL_URL"}, f"{page}: {used - exported}"


def test_commands_that_are_not_typed_exist() -> None:
    """Those in ``sh`` blocks never end, or install: of them only the words are held against the program."""
    for page in PAGES:
        for block in page.blocks:
            if block.language == "sh":
                for line in block.text.replace("\\\n", " ").splitlines():
                    if line.startswith("dataloader "):
                        assert_exists(shlex.split(line, comments=True)[1:])


def test_every_command_of_the_program_is_typed_on_some_page() -> None:
    typed = [c.typed for page in PAGES for b in page.blocks if b.language == "console" for c in commands(b.text)]
    typed += [b.text for page in PAGES for b in page.blocks if b.language == "sh"]
    missing = [name for name in command_names() if not any(re.search(rf"dataloader {name}\b", text) for text in typed)]
    named = "\n".join(page.text for page in PAGES if page.path.name != "cli.md")
    assert [name for name in missing if f"dataloader {name}" not in named] == []


def test_code_in_the_prose_names_commands_that_exist() -> None:
    for page in PAGES:
        for text in re.findall(r"`dataloader ([a-z][^`.]*)`", page.prose):
            words = text.split()
            known = command_names()
            assert words[0] in known or " ".join(words[:2]) in known, f"{page}: dataloader {text}"


def root() -> click.Group:
    group = typer.main.get_command(app)
    assert hasattr(group, "commands")
    return group  # type: ignore[return-value]  # typer's own copy of click's class


def command_names() -> list[str]:
    """Without hidden ones, which are there for whoever still types an older name."""
    found = []
    for name, command in root().commands.items():
        inner = command.commands.items() if hasattr(command, "commands") else ()
        found += [f"{name} {word}" for word, one in inner if not one.hidden] if inner else [name]
    return found


def assert_exists(words: list[str]) -> None:
    command = root().commands[words[0]]
    rest = words[1:]
    if hasattr(command, "commands"):
        command, rest = command.commands[rest[0]], rest[1:]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word.partition("=")[0] for word in rest if word.startswith("-")} <= options, words


def test_what_the_readme_shows_of_the_long_commands_is_what_they_print() -> None:
    shown = [block.text for block in Page(REPOSITORY / "README.md").blocks if block.language == "text"]
    demo = "\n".join(p.read_text(encoding="utf-8") for p in sorted((REPOSITORY / "examples" / "demo").glob("*.py")))
    for words in ("1st load", "promised", "in Delta", "verdict", "Everything is as promised"):
        assert words in shown[0]
        assert words in demo
    summary = (REPOSITORY / "tests" / "run.py").read_text(encoding="utf-8")
    for name in re.findall(r"^(\w+) +passed", shown[1], re.MULTILINE):
        assert f'"{name}"' in summary


def test_the_figures_page_has_room_for_results() -> None:
    assert "<!-- results -->" in (REPOSITORY / "docs" / "benchmarks.md").read_text(encoding="utf-8")
