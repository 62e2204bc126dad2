"""Somebody's own SQL: checked as text and as structure, never rendered anew.

The lexer here follows the server's rules (strings, dollar quotes, nested comments), because the question
is what the server will read, not what a parser of another grammar makes of it. Structure is sqlglot's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from dataloader_core.errors import ConfigurationError

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+)
      | (?P<comment>--[^\n\r]*)
      | (?P<block>/\*)
      | (?P<escaped>[eE]'(?:[^'\\]|\\.|'')*(?P<escaped_end>')?)
      | (?P<string>(?:[uU]&|[bBxXnN])?'(?:[^']|'')*(?P<string_end>')?)
      | (?P<name>(?:[uU]&)?"(?:[^"]|"")*(?P<name_end>")?)
      | (?P<word>[^\W\d][\w$]*)
      | (?P<dollar>\$(?P<tag>[^\W\d]\w*)?\$)
      | (?P<number>\d[\w.]*)
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_QUERY_CURE: Final = "Write one SELECT (or WITH ... SELECT, UNION, VALUES) that only reads."
_WRITES: Final = (
    exp.Insert,
    exp.Update,
    exp.Delete,
    exp.Merge,
    exp.DDL,
    exp.Drop,
    exp.Alter,
    exp.Command,
    exp.Copy,
    exp.TruncateTable,
)


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str
    start: int


def query_text(sql: str) -> str:
    """The query as it may stand in parentheses: without the semicolon at its end, otherwise untouched.

    Raises:
        ConfigurationError: not exactly one statement, or parentheses, strings or comments left open.
    """
    tokens = lex(sql, "query")
    ends = [t for t in tokens if t.text == ";"]
    last = next((t for t in reversed(tokens) if t.text != ";"), None)
    if last is None:
        raise ConfigurationError("The `query` is empty.", cure=_QUERY_CURE)
    if ends and ends[0].start < last.start:
        raise ConfigurationError("The `query` holds more than one statement.", cure=_QUERY_CURE)
    if tokens[0].text.lower() not in ("select", "with", "values", "table", "("):
        raise ConfigurationError(f"The `query` is no SELECT: it starts with {tokens[0].text!r}.", cure=_QUERY_CURE)
    _check_balance(tokens, "query")
    return sql[: ends[0].start] if ends else sql


def check_query(sql: str) -> None:
    """Refuse what is not one SELECT that only reads.

    Raises:
        ConfigurationError: see above, or text that cannot be parsed.
    """
    tree = _parse(query_text(sql), "query")
    if not isinstance(tree, exp.Select | exp.SetOperation | exp.Subquery | exp.Values):
        raise ConfigurationError(f"The `query` is no SELECT but {_kind(tree)}.", cure=_QUERY_CURE)
    _check_reads_only(tree, "query")


def check_filter(predicate: str) -> None:
    """Refuse what is not one expression, for instance ``1=1) OR (1=1``.

    Raises:
        ConfigurationError: text that would end its own parentheses, hold a statement, or not parse.
    """
    tokens = lex(predicate, "filter")
    if not tokens:
        raise ConfigurationError("The `filter` is empty.", cure="Clear it, or write a condition.")
    if any(t.text == ";" for t in tokens):
        raise ConfigurationError("The `filter` holds a semicolon.", cure="Write one condition, without WHERE.")
    _check_balance(tokens, "filter")
    tree = _parse(f"SELECT 1 WHERE (\n{predicate}\n)", "filter")
    where = tree.args.get("where")
    whole = isinstance(tree, exp.Select) and where is not None and isinstance(where.this, exp.Paren)
    if not whole or any(v for k, v in tree.args.items() if k not in ("expressions", "where")):
        raise ConfigurationError("The `filter` is not one condition.", cure="Write one condition, without WHERE.")
    _check_reads_only(tree, "filter")


def lex(sql: str, what: str) -> list[Token]:
    """Tokens without blanks and comments."""
    if "\0" in sql:
        raise ConfigurationError(f"The `{what}` holds a NUL character.", cure="Remove it.")
    tokens, at = [], 0
    while at < len(sql):
        match = _TOKEN.match(sql, at)
        assert match
        kind = next(k for k in _KINDS if match[k] is not None)
        end = match.end()
        if kind == "block":
            end = _comment_end(sql, at, what)
        elif kind == "dollar":
            end = sql.find(match[0], end) + len(match[0])
            if end < at + 2 * len(match[0]):
                raise _left_open(what, "string")
        elif kind in ("escaped", "string", "name") and match[f"{kind}_end"] is None:
            raise _left_open(what, "string or quoted name")
        if kind not in ("space", "comment", "block"):
            tokens.append(Token(kind, match[0], at))
        at = end
    return tokens


_KINDS: Final = ("space", "comment", "block", "escaped", "string", "name", "word", "dollar", "number", "other")


def _comment_end(sql: str, start: int, what: str) -> int:
    """Behind a block comment; PostgreSQL nests them."""
    depth = 0
    for mark in re.finditer(r"/\*|\*/", sql[start:]):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return start + mark.end()
    raise _left_open(what, "comment")


def _check_balance(tokens: list[Token], what: str) -> None:
    depth = 0
    for token in tokens:
        if token.kind == "other" and token.text in "()":
            depth += 1 if token.text == "(" else -1
        if depth < 0:
            break
    if depth:
        raise ConfigurationError(f"The parentheses of the `{what}` do not match.", cure="Correct it.")


def _left_open(what: str, kind: str) -> ConfigurationError:
    return ConfigurationError(f"A {kind} in the `{what}` has no end.", cure="Close it.")


def _parse(sql: str, what: str) -> exp.Expr:
    try:
        trees = [t for t in sqlglot.parse(sql, read="postgres") if t is not None]
    except SqlglotError as error:
        line = str(error).splitlines()[0]
        raise ConfigurationError(f"The `{what}` cannot be parsed: {line}", cure="Correct it.") from error
    if len(trees) != 1:
        raise ConfigurationError(f"The `{what}` holds {len(trees)} statements.", cure=_QUERY_CURE)
    return trees[0]


def _check_reads_only(tree: exp.Expr, what: str) -> None:
    for node in tree.walk():
        if isinstance(node, _WRITES):
            raise ConfigurationError(f"The `{what}` changes data ({_kind(node)}).", cure=_QUERY_CURE)
        if isinstance(node, exp.Into):
            raise ConfigurationError(f"The `{what}` creates a table (SELECT INTO).", cure=_QUERY_CURE)
        if isinstance(node, exp.Lock):
            raise ConfigurationError(f"The `{what}` locks rows (FOR UPDATE or SHARE).", cure=_QUERY_CURE)
        if isinstance(node, exp.Placeholder | exp.Parameter):
            raise ConfigurationError(f"The `{what}` holds a parameter.", cure="Write the value itself.")


def _kind(tree: exp.Expr) -> str:
    return tree.this if isinstance(tree, exp.Command) and isinstance(tree.this, str) else tree.key.upper()
