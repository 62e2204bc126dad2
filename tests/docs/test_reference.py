"""The reference says what the program has: no more, no less."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from dataloader_core import errors
from dataloader_core.cli.exit_codes import ExitCode, exit_code_of
from dataloader_core.plan import Relation
from dataloader_core.plugins import hookspecs
from dataloader_core.plugins.manager import KINDS, default_registry
from dataloader_core.plugins.records import PluginRecord
from dataloader_core.settings import Settings, variable
from dataloader_dagster.settings import DagsterSettings
from dataloader_engines.local.settings import LocalSettings
from dataloader_engines.spark.settings import SparkSettings
from dataloader_launchers.databricks.settings import DatabricksSettings
from dataloader_launchers.subprocess.plugin import SubprocessSettings
from dataloader_secrets.key_vault.settings import KeyVaultSettings
from dataloader_sources.postgresql.connection import PostgresConnection
from tests.docs.pages import DOCS, REPOSITORY, Page
from tests.sources.postgresql.reading import connect

CELL = re.compile(r"(?<!\\)\|")


def rows(page: str, width: int) -> list[list[str]]:
    """The rows of the page's tables that have so many columns, without headings."""
    lines = [line for line in Page(DOCS / page).prose.splitlines() if line.startswith("|")]
    cells = [[cell.strip().replace("\\|", "|") for cell in CELL.split(line)[1:-1]] for line in lines]
    return [row for row in cells if len(row) == width and not set(row[0]) <= {"-"}]


def names(page: str, width: int) -> list[str]:
    """The names in backticks of the first column."""
    return [name for row in rows(page, width) for name in re.findall(r"`([^`]+)`", row[0])]


@pytest.mark.parametrize(
    "model",
    [Settings, LocalSettings, SparkSettings, SubprocessSettings, DatabricksSettings, DagsterSettings, KeyVaultSettings],
    ids=lambda m: m.__name__,
)
def test_every_setting_is_documented_with_its_default(model: type[BaseModel]) -> None:
    documented = {row[0].strip("`"): row[1].strip("`") for row in rows("reference/settings.md", 3)}
    for field, info in model.model_fields.items():
        default = info.get_default(call_default_factory=True)
        if default in (None, PydanticUndefined):
            assert variable(field) in documented
        elif isinstance(default, (str, int, float)):
            assert documented[variable(field)] == f"{default:g}" if isinstance(default, float) else str(default)
        else:
            assert variable(field) in documented


def test_no_setting_is_documented_that_nobody_reads() -> None:
    models = (
        Settings,
        LocalSettings,
        SparkSettings,
        SubprocessSettings,
        DatabricksSettings,
        DagsterSettings,
        KeyVaultSettings,
    )
    known = {variable(field) for model in models for field in model.model_fields} | {"DATALOADER_DEBUG"}
    assert {n for n in names("reference/settings.md", 3) if n.startswith("DATALOADER_")} == known


def test_every_extra_is_documented() -> None:
    import tomllib

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(names("reference/settings.md", 2)) == set(project["optional-dependencies"])


def test_every_field_of_a_connection_is_documented_with_its_default() -> None:
    documented = {name: row[1] for row in rows("how-to/add-a-source.md", 3) for name in re.findall(r"`(\w+)`", row[0])}
    for name, field in PostgresConnection.model_fields.items():
        assert name in documented
        if isinstance(field.default, (str, int)):
            assert documented[name].strip("`") == str(field.default)


def test_every_option_of_every_strategy_is_documented_with_its_default() -> None:
    documented = {
        tuple(re.findall(r"`(\w+)`", " ".join(row[:2]))): row[3] for row in rows("reference/strategies.md", 4)
    }
    documented.pop((), None)
    found = {}
    for name in default_registry().names("strategy"):
        for option, field in default_registry().strategy(name).options_model.model_fields.items():
            default = field.get_default(call_default_factory=True)
            found[name, option] = (
                "" if default is None else f"`{str(default).lower() if isinstance(default, bool) else default}`"
            )
    assert documented == found


def test_what_every_strategy_declares_is_documented() -> None:
    documented = {row[0].strip("`"): row[1:] for row in rows("reference/strategies.md", 5)[1:]}
    said = {True: "yes", False: "no"}
    for name in default_registry().names("strategy"):
        made: Any = default_registry().strategy(name)
        keys, watermark, appends, alone = documented.pop(name)
        assert (appends, alone) == (said[made.appends], said[made.runs_alone])
        assert keys == said[made.needs_keys] or keys.startswith(("unless", "what"))
        assert watermark == said[made.needs_watermark] or watermark.startswith("what")
    assert not documented


def test_every_strategy_has_a_section_on_how_to_choose() -> None:
    anchors = Page(DOCS / "how-to" / "choose-a-strategy.md").anchors
    assert set(default_registry().names("strategy")) <= anchors


def test_every_hook_is_documented_with_its_arguments() -> None:
    hooks = {name: hook for name, hook in vars(hookspecs.Hooks).items() if name.startswith("dataloader_")}
    spelled = {
        f"{name}({', '.join(hook.__code__.co_varnames[1 : hook.__code__.co_argcount])})" for name, hook in hooks.items()
    }
    assert set(names("reference/hooks.md", 4)) - set(KINDS) == spelled


def test_every_field_of_a_record_is_documented() -> None:
    assert names("reference/hooks.md", 3) == list(PluginRecord.__dataclass_fields__)


def test_every_exit_code_and_its_errors_are_documented() -> None:
    documented = {int(row[0]): row for row in rows("reference/exit-codes.md", 3) if row[0].isdigit()}
    assert {code: row[1] for code, row in documented.items()} == {int(code): code.meaning for code in ExitCode}
    for code, row in documented.items():
        for name in re.findall(r"`(\w+Error)`", row[2]):
            kind = getattr(errors, name)
            made = kind("thing", "x", ()) if kind is errors.UnknownNameError else kind("problem")
            assert exit_code_of(made) == code


def test_every_error_is_documented_with_its_kind() -> None:
    documented = {row[0].strip("`"): row[1] for row in rows("reference/exit-codes.md", 3) if row[0].endswith("Error`")}
    known = {
        name: "transient" if kind.transient else "permanent"
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, (errors.TransientError, errors.PermanentError))
    }
    del known["TransientError"], known["PermanentError"]
    assert documented == known


def answers_of_why() -> list[str]:
    """The codes of the page's first table."""
    first, *_ = re.split(r"^## ", Page(DOCS / "how-to" / "troubleshoot.md").prose, flags=re.MULTILINE)
    return re.findall(r"^\| `([a-z_]+)` \|", first, re.MULTILINE)


def test_every_answer_of_why_is_documented() -> None:
    source = (REPOSITORY / "dataloader_core" / "control" / "why.py").read_text(encoding="utf-8")
    codes = set(re.findall(r"(?:return |\(\s*|or \()\"([a-z_]+)\",", source))
    assert codes == set(answers_of_why())


def test_every_refusal_that_is_quoted_is_one_that_the_program_makes() -> None:
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in ("dataloader_core", "plugins", "sql")
        for path in sorted((REPOSITORY / folder).rglob("*"))
        if path.suffix in (".py", ".sql")
    )
    quoted = names("how-to/troubleshoot.md", 3)[len(answers_of_why()) :]
    assert len(quoted) > 15
    assert [text for text in quoted if text not in code] == []


def test_every_type_of_postgresql_arrives_as_documented(database: str) -> None:
    table = [row for row in rows("reference/types.md", 3) if row[0] not in ("type", "PostgreSQL") and "," not in row[0]]
    native = {row[0].strip("`"): row[1].strip("`") for row in table if row[1].startswith("`")}
    assert len(native) > 25
    columns = ", ".join(f"c{number} {name}" for number, name in enumerate(native))
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE every_type ({columns})")
    with connect(database) as session:
        found = session.describe(Relation("public", "every_type"))
    assert dict(zip(native, (str(column.type) for column in found.columns), strict=True)) == native


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    script = DOCS / "generate_control_reference.py"
    spec = importlib.util.spec_from_file_location(script.stem, script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_control_databases_page_is_what_its_catalog_says(
    generator: ModuleType, postgres_server: Any, control_template: str
) -> None:
    with psycopg.connect(postgres_server.dsn(control_template)) as connection:
        made = generator.page(connection)
    assert Path(generator.PAGE).read_text(encoding="utf-8") == made, "run docs/generate_control_reference.py"


def test_every_column_and_function_of_the_control_database_has_a_comment() -> None:
    for row in rows("reference/control-database.md", 4) + rows("reference/control-database.md", 2):
        assert row[-1] or row[0] in ("function", "column"), row
