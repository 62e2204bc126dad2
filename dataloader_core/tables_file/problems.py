"""What is wrong with a file, all of it at once: nobody likes to repair a file one error at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dataloader_core.errors import ConfigurationError

SHOWN: Final = 50
"""Of many problems the message lists so many; a file made by a program repeats one mistake in every entry."""


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong. ``line`` counts from 1; None where it concerns the file as a whole."""

    line: int | None
    where: str
    text: str

    def __str__(self) -> str:
        line = f"line {self.line}: " if self.line else ""
        where = f"{self.where}: " if self.where else ""
        return f"{line}{where}{self.text}"


class TablesFileError(ConfigurationError):
    """The file cannot be applied; ``problems`` has every reason with its line."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        listed = "\n".join(f"  {problem}" for problem in self.problems[:SHOWN])
        if len(self.problems) > SHOWN:
            listed += f"\n  and {len(self.problems) - SHOWN} more"
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__(
            f"{file} has {count}:\n{listed}", cure="Nothing was changed; correct the file and apply again."
        )
