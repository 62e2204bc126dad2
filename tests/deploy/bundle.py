"""The asset bundle as one target sees it: files merged, variables put in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

REPOSITORY: Final = Path(__file__).parents[2]
FOLDER: Final = REPOSITORY / "deploy" / "databricks"
GIVEN: Final = {"loader": "11111111-aaaa", "orchestrator": "22222222-bbbb"}
"""Variables that whoever deploys must give."""
DEPLOYER: Final = "someone"
_REFERENCE = re.compile(r"\$\{([a-z_.]+)\}")


@dataclass(frozen=True)
class Bundle:
    """``files``: the resource files by their folder-relative names, as they are written."""

    root: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]]

    @property
    def targets(self) -> list[str]:
        return list(self.root["targets"])

    def resources(self, target: str) -> dict[str, dict[str, dict[str, Any]]]:
        """By type and name, with every reference resolved; numbers stay texts where a variable stood.

        Raises:
            KeyError: a reference to nothing.
        """
        merged = self._merged(development=self.root["targets"][target]["mode"] == "development")
        variables = self._variables(target)

        def value(path: str) -> str:
            area, _, rest = path.partition(".")
            if area == "var":
                return str(self._resolved(variables[rest], value))
            if area == "bundle":
                return {"target": target, "name": str(self.root["bundle"]["name"])}[rest]
            found: Any = {"resources": merged}[area]
            for part in rest.split("."):
                found = found[part]
            return str(self._resolved(found, value))

        resolved: dict[str, dict[str, dict[str, Any]]] = self._resolved(merged, value)
        return resolved

    def references(self) -> set[str]:
        """Names of the variables that are used anywhere."""
        texts = yaml.safe_dump([dict(self.root), *map(dict, self.files.values())])
        return {path.partition(".")[2] for path in _REFERENCE.findall(texts) if path.startswith("var.")}

    def _merged(self, *, development: bool) -> dict[str, dict[str, dict[str, Any]]]:
        """By type and name. In the mode development the command line puts the deployer's name before those of jobs and
        schemas, and of nothing else here: databricks/cli, ``apply_presets.go``."""
        prefixes = {"jobs": f"[dev {DEPLOYER}] ", "schemas": f"dev_{DEPLOYER}_"} if development else {}
        merged: dict[str, dict[str, dict[str, Any]]] = {}
        for kind, name, resource in self._declared():
            named = resource | {"name": prefixes.get(kind, "") + resource["name"]}
            merged.setdefault(kind, {})[name] = named
        return merged

    def _declared(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        for file in self.files.values():
            assert set(file) == {"resources"}
            for kind, named in file["resources"].items():
                for name, resource in named.items():
                    yield kind, name, resource

    def _variables(self, target: str) -> dict[str, Any]:
        defaults = {name: v["default"] for name, v in self.root["variables"].items() if "default" in v}
        return {**defaults, **self.root["targets"][target].get("variables", {}), **GIVEN}

    def _resolved(self, value: Any, of: Callable[[str], str]) -> Any:
        if isinstance(value, dict):
            return {key: self._resolved(one, of) for key, one in value.items()}
        if isinstance(value, list):
            return [self._resolved(one, of) for one in value]
        return _REFERENCE.sub(lambda found: of(found[1]), value) if isinstance(value, str) else value


def read_bundle() -> Bundle:
    root = yaml.safe_load((FOLDER / "databricks.yml").read_text(encoding="utf-8"))
    files = [path for pattern in root["include"] for path in sorted(FOLDER.glob(pattern))]
    return Bundle(root, {str(p.relative_to(FOLDER)): yaml.safe_load(p.read_text(encoding="utf-8")) for p in files})
