"""What a table's BEFORE ROW triggers do to a column, read conservatively from their source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from dataloader_core.errors import ConfigurationError
from dataloader_sources.postgresql.clocks import Clock, read_clock
from dataloader_sources.postgresql.sqltext import Token, lex

_INSERT, _DELETE, _UPDATE = 4, 8, 16
_CONTROL: Final = frozenset(
    ("if", "case", "loop", "while", "for", "foreach", "return", "raise", "exit", "continue", "execute", "exception")
)
_STARTS: Final = frozenset(("begin", "then", "else", "loop", ";", ">"))
_ASSIGNING: Final = frozenset(("call", "diagnostics"))
_TAKING: Final = frozenset(("into", "for", "foreach"))
_NAMES: Final = frozenset(("word", "name"))
_HARMLESS: Final = frozenset(("suppress_redundant_updates_trigger",))


@dataclass(frozen=True, slots=True)
class Trigger:
    """An enabled BEFORE ROW trigger.

    Attributes:
        events: ``pg_trigger.tgtype``.
        partial: It has a WHEN or an UPDATE OF list.
        arguments: Its own, as text.
        everywhere: It fires for every row that a client writes: it belongs to the table or to the root of its
            partitions and is enabled on each of them, not only where changes are replicated.
        replicated: It also fires where changes are replicated (ENABLE ALWAYS).
    """

    name: str
    events: int
    partial: bool
    function: str
    language: str
    source: str
    arguments: tuple[str, ...] = ()
    everywhere: bool = True
    replicated: bool = False

    @property
    def on_insert(self) -> bool:
        return bool(self.events & _INSERT)

    @property
    def on_update(self) -> bool:
        return bool(self.events & _UPDATE)

    @property
    def on_delete(self) -> bool:
        return bool(self.events & _DELETE)


@dataclass(frozen=True, slots=True)
class Effect:
    """What a trigger does to one column.

    Attributes:
        unknown: It may assign something that is not recognized.
        clocks: The clocks that it assigns.
        always: One of the assignments happens whenever the trigger's function runs.
    """

    unknown: bool = False
    clocks: tuple[Clock, ...] = ()
    always: bool = False

    @property
    def touches(self) -> bool:
        return self.unknown or bool(self.clocks)


def effect_on(trigger: Trigger, column: str) -> Effect:
    """Read the trigger's function; a language that is not plpgsql may do anything."""
    if trigger.function == "moddatetime" and trigger.language == "c":  # the contrib module spi
        named = trigger.arguments[:1] == (column,)
        return Effect(clocks=(Clock("instant"),), always=True) if named else Effect()
    if trigger.function in _HARMLESS and trigger.language == "internal":
        return Effect()
    if trigger.language != "plpgsql":
        return Effect(unknown=True)
    try:
        tokens = lex(trigger.source, "trigger")
    except ConfigurationError:
        return Effect(unknown=True)
    if _assigns_unseen(tokens) or not _returns_new(tokens, old_too=trigger.on_delete):
        return Effect(unknown=True)
    return _read(trigger.source, tokens, column)


def _read(source: str, tokens: Sequence[Token], column: str) -> Effect:
    clocks: list[Clock] = []
    always = False
    for text, conditional in _assignments(source, tokens, column):
        clock = read_clock(text)
        if clock is None:
            return Effect(unknown=True)
        clocks.append(clock)
        always = always or not conditional
    return Effect(clocks=tuple(clocks), always=always)


def _assigns_unseen(tokens: Sequence[Token]) -> bool:
    """Whether NEW or OLD may change otherwise than by ``NEW.column := ...``, or be another variable of that name.

    ``NEW := ...``, ``INTO x, NEW.column``, ``ALIAS FOR NEW``, ``f.NEW.column := ...`` (f is the function), ``DECLARE
    new ...``, ``<<new>>``, statements that assign to what they are given, and names written by code points.
    """
    words = [_folded(t) for t in tokens]
    if not _ASSIGNING.isdisjoint(words) or any(t.kind == "name" and t.text[0] in "uU" for t in tokens):
        return True
    taken = (i for i, word in enumerate(words) if word in _TAKING)
    if any(not {"new", "old"}.isdisjoint(_targets(tokens, i + 1)) for i in taken):
        return True
    return any(_is_hidden(tokens, words, i) for i, word in enumerate(words) if word in ("new", "old"))


def _targets(tokens: Sequence[Token], start: int) -> Iterator[str]:
    """The names in a list of variables such as ``a, b.c, d``, which ends where two words follow one another."""
    named = False
    for token in tokens[start:]:
        word = _folded(token)
        if token.kind in _NAMES and word != "strict":
            if named:
                return
            yield word
            named = True
        elif word in (".", ","):
            named = False
        elif word != "strict":
            return


def _is_hidden(tokens: Sequence[Token], words: Sequence[str], i: int) -> bool:
    before, after = words[i - 1 : i], words[i + 1 : i + 2]
    if after == ["="] or words[i + 1 : i + 3] == [":", "="] or (before == ["<"] and after == [">"]):
        return True
    if before in (["declare"], [";"]) and after and tokens[i + 1].kind in _NAMES:
        return True
    qualified = words[i] == "new" and before == ["."]
    return qualified and (words[i + 3 : i + 5] == [":", "="] or words[i + 3 : i + 4] == ["="])


def _returns_new(tokens: Sequence[Token], *, old_too: bool) -> bool:
    """Whether each RETURN gives NEW itself, or NULL, which writes nothing.

    OLD is what a trigger for DELETE returns; for an UPDATE it leaves the row as it was, and for an INSERT it is NULL.
    """
    words = [_folded(t) for t in tokens]
    allowed = (["new", ";"], ["null", ";"], *((["old", ";"],) if old_too else ()))
    return all(words[i + 1 : i + 3] in allowed for i, word in enumerate(words) if word == "return")


def _assignments(source: str, tokens: Sequence[Token], column: str) -> Iterator[tuple[str, bool]]:
    """The right side of each assignment to the column, and whether it may be passed by."""
    conditional, body = _catches(tokens), False
    for i, token in enumerate(tokens):
        word = _folded(token)
        body = body or word == "begin"
        conditional = conditional or (body and word in _CONTROL)
        starts = i > 0 and _folded(tokens[i - 1]) in _STARTS
        if word != "new" or not starts or [_folded(t) for t in tokens[i + 1 : i + 3]] != [".", column]:
            continue
        rest = tokens[i + 3 : i + 5]
        skip = 2 if [t.text for t in rest] == [":", "="] else 1 if rest and rest[0].text == "=" else 0
        end = next((t for t in tokens[i + 3 :] if t.text == ";"), None)
        if skip and end is not None:
            first = tokens[i + 3 + skip]
            yield source[first.start : end.start], conditional


def _catches(tokens: Sequence[Token]) -> bool:
    """Whether the function goes on after an error, which may have come before any of its assignments."""
    words = [_folded(t) for t in tokens]
    return any(words[i : i + 2] == ["exception", "when"] for i in range(len(words)))


def _folded(token: Token) -> str:
    """A name as the server reads it: folded, unless it is quoted."""
    if token.kind == "name":
        return token.text[1:-1].replace('""', '"')
    return token.text.lower()
