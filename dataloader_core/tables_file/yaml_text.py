"""YAML read with care: line numbers, no doubled keys, and no surprises among plain scalars.

Plain scalars are resolved as JSON would (``true``, ``false``, ``null``, numbers without leading zeros).
YAML 1.1, which PyYAML follows, would turn a column called ``no`` into False, ``12:30`` into 750 and an
ISO date into an object that forgets how it was written.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

MAX_CHARACTERS = 20_000_000
MAX_NODES = 10_000
"""Of one field: an alias of aliases can stand for more values than any memory holds."""


class MalformedYaml(Exception):
    """The text is no YAML that can be used. ``line`` counts from 1."""

    def __init__(self, text: str, line: int | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.line = line


class _Loader(yaml.SafeLoader):
    """A loader of its own, so that its resolvers change nothing for anybody else."""


_Loader.yaml_implicit_resolvers = {}
_TAG = "tag:yaml.org,2002:"
_NUMBER = r"-?(?:0|[1-9][0-9]*)"
# PyYAML takes the first resolver that matches from the start of the text: each pattern says where it ends.
for _tag, _pattern, _first in (
    ("bool", r"(?:true|false|True|False)\Z", "tTfF"),
    ("null", r"(?:null|Null|~|)\Z", ["n", "N", "~", ""]),
    ("int", rf"{_NUMBER}\Z", "-0123456789"),
    ("float", rf"{_NUMBER}(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?\Z", "-0123456789"),
):
    _Loader.add_implicit_resolver(_TAG + _tag, re.compile(_pattern), list(_first))


def compose(text: str) -> tuple[yaml.Node | None, _Loader]:
    """The node tree of the one document, and the loader that constructs values from it.

    Raises:
        MalformedYaml: with the line and, where one mistake is likely, what to do.
    """
    if len(text) > MAX_CHARACTERS:
        raise MalformedYaml(f"longer than {MAX_CHARACTERS:,} characters")
    try:
        loader = _Loader(text)
        return loader.get_single_node(), loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise MalformedYaml(_explain(error), mark.line + 1 if mark else None) from None
    except yaml.YAMLError as error:
        raise MalformedYaml(f"not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise MalformedYaml("nested too deeply") from None


def _explain(error: yaml.MarkedYAMLError) -> str:
    problem = " ".join((error.problem or error.context or "cannot be read").split())
    if "alias" in problem or "alias" in (error.context or ""):
        return f"not YAML ({problem}); a cron that begins with * needs quotes: load_cron: '*/5 * * * *'"
    if "\\t" in problem:
        return f"not YAML ({problem}); indent with spaces, not tabs"
    if "expected a single document" in (error.context or ""):
        return "several documents in one file; put all tables into one"
    return f"not YAML ({problem})"


def pairs(node: yaml.MappingNode) -> list[tuple[str, int, yaml.Node]]:
    """Keys with their lines and value nodes.

    Raises:
        MalformedYaml: a key that is no text, or one that stands there twice.
    """
    found: list[tuple[str, int, yaml.Node]] = []
    seen: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
            raise MalformedYaml("a key must be plain text", line)
        if key.value in seen:
            raise MalformedYaml(f"{key.value!r} stands twice in one entry (first in line {seen[key.value]})", line)
        seen[key.value] = line
        found.append((key.value, line, value))
    return found


def value_of(loader: _Loader, node: yaml.Node) -> Any:
    """The value of a node.

    Raises:
        MalformedYaml: a tag that is not allowed, a doubled key somewhere inside, endless nesting.
    """
    try:
        return _Construction(loader).value(node, depth=0)
    except (yaml.MarkedYAMLError, ValueError) as error:
        problem = getattr(error, "problem", None) or "cannot be read"
        raise MalformedYaml(f"not YAML ({problem})", node.start_mark.line + 1) from None


class _Construction:
    def __init__(self, loader: _Loader) -> None:
        self._loader = loader
        self._nodes = 0

    def value(self, node: yaml.Node, depth: int) -> Any:
        self._nodes += 1
        if depth > 50 or self._nodes > MAX_NODES:
            raise MalformedYaml("too deep or too long, or an alias that holds itself", node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return {key: self.value(item, depth + 1) for key, _, item in pairs(node)}
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, depth + 1) for item in node.value]
        return self._loader.construct_object(node)
