"""Python environments of their own: the wheel and chosen packages, and nothing of the checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
_REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?[^;]*(?:;(.*))?")


@dataclass(frozen=True)
class Environment:
    """A Python of its own. Its commands run in another folder, without variables of the checkout's environment."""

    folder: Path

    def run(self, program: str, *args: str, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": f"{self.folder / 'bin'}:/usr/bin:/bin", "HOME": str(self.folder), "LANG": "C.UTF-8", **more}
        command = [str(self.folder / "bin" / program), *args]
        return subprocess.run(
            command, env=environ, cwd=cwd or self.folder, capture_output=True, text=True, check=False, timeout=540
        )

    def python(self, code: str) -> str:
        done = self.run("python", "-c", code)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


def build_wheel(out: Path) -> Path:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(REPOSITORY)]
    subprocess.run(command, check=True, capture_output=True, timeout=240)
    [built] = out.glob("*.whl")
    return built


def new_environment(folder: Path, wheel: Path, dependencies: Iterable[str]) -> Environment:
    """An empty environment with the wheel installed and the dependencies linked in, so that nothing is fetched."""
    venv.create(folder, symlinks=True, with_pip=False)
    installed = Environment(folder)
    site = Path(installed.python("import sysconfig; print(sysconfig.get_paths()['purelib'])"))
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin/python"), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--no-index", "--no-deps", "--quiet", str(wheel)], check=True, timeout=240)
    for name in dependencies:
        _link(distribution(name), site)
    return installed


def closure(name: str, extras: tuple[str, ...] = ()) -> set[str]:
    """Everything that an installation of these extras brings, by name, without ``name`` itself."""
    found: set[str] = set()
    waiting = [(name, extra) for extra in ("", *extras)]
    seen = set(waiting)
    while waiting:
        package, extra = waiting.pop()
        for line in distribution(package).requires or ():
            for needed in _needs(line, extra):
                if needed not in seen and _installed(needed[0]):
                    seen.add(needed)
                    waiting.append(needed)
                    found.add(needed[0])
    return found - {name}


def _link(found: Distribution, site: Path) -> None:
    home = Path(str(found.locate_file("")))
    tops = {file.parts[0] for file in found.files or () if not str(file).startswith("..")} - {"__pycache__"}
    for top in tops:
        if not (site / top).exists():
            os.symlink(home / top, site / top)


def _needs(line: str, extra: str) -> list[tuple[str, str]]:
    match = _REQUIREMENT.match(line)
    assert match is not None
    name, extras, marker = match[1], match[2] or "", match[3] or ""
    asked = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", marker)
    if (asked[1] if asked else "") != extra:
        return []
    return [(name, ""), *((name, e.strip()) for e in extras.split(",") if e.strip())]


def _installed(name: str) -> bool:
    """False for what this platform or Python does not need."""
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
