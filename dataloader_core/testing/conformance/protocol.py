"""The commit protocol as an engine must keep it: looks that tell the truth, and no commit through an old one."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar
from uuid import uuid4

import pytest

from dataloader_core.commit import OWNER_PROPERTY, CommitRecord, app_id
from dataloader_core.errors import DestinationRefusedError, RivalCommitError
from dataloader_core.plan import Append, Merge, Replace, Write
from dataloader_core.testing.conformance.base import Conformance, NewTable
from dataloader_core.testing.conformance.table import ConformanceTable, Rows, rows
from dataloader_core.testing.texts import arrow_table
from dataloader_core.types import INT, STRING

COLUMNS = {"id": "int", "name": "string"}
TWO = rows("id name", (1, "a"), (2, "b"))
THREE = rows("id name", (2, "mine"), (3, "mine"))
WRITES = pytest.mark.parametrize("write", [Replace(), Append(), Merge(("id",))], ids=["replace", "append", "merge"])
_THEIRS = [{"id": "77", "name": "theirs"}]


def append_of_others(table: ConformanceTable) -> None:
    """Somebody who knows nothing of this system adds a row."""
    table.log.append(arrow_table(_THEIRS, {"id": INT, "name": STRING}))
    table.model.rows = [*table.model.rows, *_THEIRS]


def commit_of_another_load(table: ConformanceTable, given: Rows, write: Write) -> CommitRecord:
    """A load of the same row that has a destination of its own comes and goes."""
    step, other, record = table.step(write), table.open(), table.record()
    look = other.look(table.uid)
    other.commit(step, table.prepare(step, given, look=look, through=other), look, record)
    table.expect(step, given)
    return record


class ProtocolConformance(Conformance):
    """Create, look, fence, commit; rivals, RESTORE and OPTIMIZE in between; a staging table that is published."""

    area: ClassVar[str] = "Commit protocol"

    @pytest.fixture
    def orders(self, loaded_table: NewTable) -> ConformanceTable:
        return loaded_table(COLUMNS, TWO)

    def test_nothing_there_is_no_table(self, new_table: NewTable) -> None:
        assert not new_table(COLUMNS, created=False).look().exists

    def test_a_created_table_is_empty_and_its_creation_is_a_fence(self, new_table: NewTable) -> None:
        table = new_table(COLUMNS, created=False)
        record = table.create()
        look = table.look()
        assert (look.exists, look.has_rows, look.owner, look.problems) == (True, False, table.uid, ())
        assert (look.newest, look.newest_fence, look.app_version) == (None, record, record.version)

    def test_of_two_creations_one_is_a_rival(self, orders: ConformanceTable) -> None:
        with pytest.raises(RivalCommitError):
            orders.open().create(orders.source, orders.record(0))
        orders.check()

    def test_a_look_tells_what_the_newest_commit_said_of_itself(self, orders: ConformanceTable) -> None:
        step, look = orders.step(Append()), orders.look()
        record = replace(orders.record(), watermark="2024-01-01 00:00:00.000001+00", rows=2, run_id="run 'x'")
        orders.destination.commit(step, orders.prepare(step, TWO, look=look), look, record)
        found = orders.look()
        assert (found.newest, found.app_version, found.has_rows) == (record, record.version, True)
        assert found.table_version == orders.log.versions[-1]
        assert orders.log.state().transactions[app_id(orders.uid)] == record.version

    def test_a_fence_changes_no_row_and_is_seen(self, orders: ConformanceTable) -> None:
        data = orders.look().newest
        fence = orders.fence()
        look = orders.look()
        assert (look.app_version, look.newest_fence, look.newest) == (fence.version, fence, data)
        orders.check()

    def test_a_known_fence_ends_the_search_and_an_unknown_version_does_not(self, orders: ConformanceTable) -> None:
        fence = orders.fence()
        assert orders.look(known=fence.version).newest_fence == fence
        assert orders.look(known=17).newest is not None

    def test_commits_of_others_do_not_hide_ours(self, orders: ConformanceTable) -> None:
        mine = orders.look().newest
        for _ in range(3):
            append_of_others(orders)
        assert (orders.look().newest, orders.look().restored) == (mine, False)
        orders.load(THREE, Merge(("id",)))
        orders.check()

    def test_another_rows_commits_are_not_ours(self, orders: ConformanceTable) -> None:
        look = orders.look(uid=uuid4())
        assert (look.app_version, look.newest, look.newest_fence, look.owner) == (None, None, None, orders.uid)

    @WRITES
    def test_a_commit_through_an_old_look_is_refused_until_it_looks_again(
        self, orders: ConformanceTable, write: Write
    ) -> None:
        """The same prepared rows are committed through a fresh look; a merge is computed anew."""
        step, look = orders.step(write), orders.look()
        prepared = orders.prepare(step, THREE, look=look)
        append_of_others(orders)
        with pytest.raises(RivalCommitError):
            orders.destination.commit(step, prepared, look, orders.record())
        orders.check()
        orders.destination.commit(step, prepared, orders.look(), orders.record())
        orders.expect(step, THREE)
        orders.check()

    @WRITES
    def test_a_load_that_was_fenced_meanwhile_changes_nothing(self, orders: ConformanceTable, write: Write) -> None:
        step, look, stale = orders.step(write), orders.look(), orders.record()
        prepared = orders.prepare(step, THREE, look=look)
        other = orders.open()
        fence = orders.record(0)
        other.commit_empty(other.look(orders.uid), fence)
        with pytest.raises(RivalCommitError):
            orders.destination.commit(step, prepared, look, stale)
        orders.check()
        assert orders.look().app_version == fence.version

    def test_a_fence_through_an_old_look_is_refused(self, orders: ConformanceTable) -> None:
        look = orders.look()
        append_of_others(orders)
        with pytest.raises(RivalCommitError):
            orders.destination.commit_empty(look, orders.record(0))

    @WRITES
    def test_a_commit_is_made_again_after_an_optimize_in_between(self, orders: ConformanceTable, write: Write) -> None:
        orders.load(rows("id name", (5, "c")), Append())
        step, look = orders.step(write), orders.look()
        prepared = orders.prepare(step, THREE, look=look)
        orders.log.compact()
        with pytest.raises(RivalCommitError):
            orders.destination.commit(step, prepared, look, orders.record())
        orders.destination.commit(step, prepared, orders.look(), orders.record())
        orders.expect(step, THREE)
        orders.check()

    def test_a_load_is_one_commit(self, orders: ConformanceTable) -> None:
        for write in (Replace(), Append(), Merge(("id",))):
            before = orders.log.versions[-1]
            orders.load(THREE, write)
            assert orders.log.versions[-1] == before + 1

    def test_a_restore_after_our_last_commit_is_told_and_forgotten_with_the_next(
        self, orders: ConformanceTable
    ) -> None:
        then = orders.look().table_version
        assert then is not None
        orders.load(THREE, Append())
        orders.log.restore(then)
        assert orders.look().restored
        orders.load(THREE)
        assert not orders.look().restored
        orders.check()

    def test_ownership_is_taken_with_a_fence(self, orders: ConformanceTable) -> None:
        other = uuid4()
        fence = orders.record(0, other)
        orders.destination.commit_empty(orders.look(uid=other), fence, own=True)
        look = orders.look(uid=other)
        assert (look.owner, look.app_version, look.newest_fence, look.problems) == (other, fence.version, fence, ())
        orders.check()

    def test_a_table_of_nobody_says_so(self, orders: ConformanceTable) -> None:
        state = orders.log.state()
        bare = {k: v for k, v in state.properties.items() if k != OWNER_PROPERTY}
        orders.log.commit("UNSET TBLPROPERTIES", [{"metaData": {**state.metadata, "configuration": bare}}])
        assert orders.look().owner is None

    def test_a_log_that_was_cleaned_up_still_knows_the_last_commit_and_keeps_a_stale_load_out(
        self, orders: ConformanceTable
    ) -> None:
        """No commit of the row's is in the log any more; a checkpoint repeats its transaction."""
        step, look, stale = orders.step(Append()), orders.look(), orders.record()
        prepared = orders.prepare(step, THREE, look=look)
        record = commit_of_another_load(orders, THREE, Merge(("id",)))
        for _ in range(2):
            append_of_others(orders)
        orders.log.clean_up()
        found = orders.open().look(orders.uid)
        assert (found.app_version, found.newest, found.newest_fence) == (record.version, None, None)
        assert (found.owner, found.restored, found.problems) == (orders.uid, False, ())
        with pytest.raises(RivalCommitError):
            orders.destination.commit(step, prepared, look, stale)
        orders.check()
        orders.load(rows("id name", (1, "later"), (5, "new")), Merge(("id",)))
        orders.check()

    def test_only_the_owner_drops_a_table(self, orders: ConformanceTable) -> None:
        with pytest.raises(DestinationRefusedError, match="belongs to"):
            orders.destination.drop(uuid4())
        orders.check()
        orders.destination.drop(orders.uid)
        assert not orders.look().exists
        orders.destination.drop(orders.uid)

    def test_a_staging_table_replaces_its_target_and_stays_until_it_is_dropped(self, new_table: NewTable) -> None:
        target = new_table(COLUMNS)
        staging = new_table(COLUMNS, name=f"{target.name}__backfill_1", created=False)
        staging.uid = target.uid
        target.load(rows("id name", (100, "old")))
        staging.create()
        for start in (0, 10, 20):
            staging.load(rows("id name", *((i, "x") for i in range(start, start + 10))), Append())
        step, look = replace(target.step(), read=None), target.look()
        prepared = target.destination.prepare_from(
            step, target.source, staging.destination, staging.look(), look, "evolve", lambda rows, size: None
        )
        done = target.destination.commit(step, prepared, look, target.record())
        assert (prepared.rows, done.rows_deleted) == (30, 1)
        assert sorted(map(repr, target.rows())) == sorted(map(repr, staging.model.rows))
        staging.check()
        staging.destination.drop(staging.uid)
        assert len(target.rows()) == 30

    def test_a_staging_table_of_another_row_is_refused(self, new_table: NewTable) -> None:
        target, staging = new_table(COLUMNS), new_table(COLUMNS)
        staging.load(TWO, Append())
        step = replace(target.step(), read=None)
        with pytest.raises(DestinationRefusedError, match=f"belongs to {staging.uid}"):
            target.destination.prepare_from(
                step,
                target.source,
                staging.destination,
                staging.look(),
                target.look(),
                "evolve",
                lambda rows, size: None,
            )
