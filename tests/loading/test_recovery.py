"""Every decision of the commit protocol, one sentence each; any order of them is tests/model's."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from dataloader_core.commit import CommitRecord, Look, version_of
from dataloader_core.control.records import Claim, Holder
from dataloader_core.errors import DestinationRefusedError
from dataloader_core.loading.recovery import Finding, WatermarkDisputedError, fence_record, merge_looks, recover
from dataloader_core.plan import Backfill
from dataloader_core.table import SourceConfig, TableConfig

UID = UUID("11111111-1111-1111-1111-111111111111")
TABLE = TableConfig("crm.public.t", UID, "crm", "bronze", "crm", "t", "incremental")
SOURCE = SourceConfig("crm", "postgresql", {}, "env")
CLAIM = Claim(TABLE, SOURCE, 1, 7, uuid4(), 1, "fp", True, Holder("hand", "here", 1), run_id="run")
KNOWN = replace(CLAIM, committed_version=version_of(6, 1), watermark="60")
THERE = Look(exists=True, table_version=9, owner=UID, has_rows=True)


def record(load_seq: int, step: int = 1, watermark: str | None = "65", **changes: object) -> CommitRecord:
    version = version_of(load_seq, step)
    made = CommitRecord(uuid4(), version, UID, watermark, 10, "fp", False, data_version=version)
    return replace(made, **changes)  # type: ignore[arg-type]  # fields by name


def look(newest: CommitRecord | None, fence: CommitRecord | None = None, **changes: object) -> Look:
    versions = [r.version for r in (newest, fence) if r is not None]
    seen = replace(THERE, app_version=max(versions, default=None), newest=newest, newest_fence=fence)
    return replace(seen, **changes)  # type: ignore[arg-type]  # fields by name


def refusal(claim: Claim, seen: Look, *, appends: bool = False) -> str:
    with pytest.raises(DestinationRefusedError) as error:
        recover(claim, seen, appends=appends)
    return str(error.value)


def test_no_table_and_no_memory_is_a_first_load() -> None:
    assert recover(CLAIM, Look(exists=False), appends=False) == Finding()


def test_a_version_that_is_not_below_its_own_makes_a_load_stale() -> None:
    assert recover(KNOWN, look(record(7)), appends=False).stale
    assert recover(KNOWN, look(record(8, 0)), appends=False).stale
    assert not recover(KNOWN, look(record(6)), appends=False).stale


def test_equal_versions_mean_that_the_control_row_is_true() -> None:
    found = recover(KNOWN, look(record(6, watermark="999")), appends=True)
    assert found.found is None
    assert found.data_version == version_of(6, 1)


def test_a_newer_commit_is_adopted() -> None:
    claim = replace(KNOWN, committed_version=version_of(5, 1), watermark="50")
    newest = record(6)
    found = recover(claim, look(newest), appends=True)
    assert (found.found, found.apply) == (newest, True)


def test_a_fence_speaks_for_a_commit_whose_log_is_gone() -> None:
    fence = record(6, 0, data_version=version_of(5, 1))
    claim = replace(KNOWN, committed_version=version_of(4, 1))
    assert recover(claim, look(None, fence), appends=True).found == fence


def test_fences_alone_mean_that_nothing_was_loaded_yet() -> None:
    fence = record(6, 0, data_version=None)
    assert recover(CLAIM, look(None, fence, has_rows=False), appends=True) == Finding()


def test_fences_behind_a_commit_that_is_known_raise_no_dispute() -> None:
    claim = replace(KNOWN, watermark="3", watermark_sets=1)
    found = recover(claim, look(record(6), record(6, 0, version=version_of(6, 5))), appends=True)
    assert found.found is None


def test_an_unknown_commit_whose_log_is_gone_is_refused() -> None:
    seen = replace(look(None), app_version=version_of(6, 3))
    claim = replace(KNOWN, committed_version=version_of(6, 1))
    assert "the log that said what it did is gone" in refusal(claim, seen)


def test_a_value_set_meanwhile_lets_a_merge_go_on_from_it() -> None:
    claim = replace(KNOWN, committed_version=version_of(5, 1), watermark="3", watermark_sets=1)
    found = recover(claim, look(record(6)), appends=False)
    assert not found.apply
    assert found.found is not None
    assert "'3' stands" in (found.note or "")


@pytest.mark.parametrize("change", [{"watermark_sets": 1}, {"fingerprint": "other"}])
def test_append_only_is_refused_once_naming_both_watermarks(change: dict[str, object]) -> None:
    claim = replace(KNOWN, committed_version=version_of(5, 1), watermark="3", **change)  # type: ignore[arg-type]  # fields by name
    with pytest.raises(WatermarkDisputedError) as error:
        recover(claim, look(record(6)), appends=True)
    assert "'65'" in str(error.value)
    assert "'3'" in str(error.value)
    settled = replace(claim, disputed_version=error.value.version, disputed_sets=claim.watermark_sets)
    with pytest.raises(WatermarkDisputedError):
        recover(settled, look(record(6)), appends=True)
    ordered = replace(settled, watermark_sets=claim.watermark_sets + 1)
    assert not recover(ordered, look(record(6)), appends=True).apply


def test_a_mark_of_another_history_is_no_proof() -> None:
    """The control database was restored to before somebody set a value: nobody can tell which of them is meant."""
    claim = replace(KNOWN, committed_version=version_of(5, 1))
    assert not recover(claim, look(record(6, watermark_sets=3)), appends=False).apply
    with pytest.raises(WatermarkDisputedError):
        recover(claim, look(record(6, watermark_sets=3)), appends=True)


def test_a_table_restored_to_an_older_version_is_refused() -> None:
    assert "RESTOREd" in refusal(KNOWN, look(record(6), restored=True))


def test_a_table_that_is_gone_is_refused_where_a_watermark_remembers_it() -> None:
    assert "does not exist" in refusal(KNOWN, Look(exists=False))
    assert "watermark '60'" in refusal(KNOWN, replace(THERE, has_rows=False))
    assert "older than" in refusal(KNOWN, look(record(5)))


def test_a_table_that_is_gone_is_made_again_where_nothing_remembers_it() -> None:
    assert recover(replace(KNOWN, watermark=None), Look(exists=False), appends=False) == Finding()


def test_chunks_are_a_memory_too() -> None:
    backfill = Backfill("id", ("1", "5", "9"), False, None, "incremental", 1, 6)
    claim = replace(KNOWN, watermark=None, backfill=backfill)
    assert "1 of 2 chunks" in refusal(claim, Look(exists=False))


def test_anothers_table_is_refused_by_name() -> None:
    other = uuid4()
    text = refusal(CLAIM, replace(THERE, owner=other))
    assert str(other) in text
    assert str(UID) in text


def test_rows_that_are_nobodys_are_refused_unless_adopted() -> None:
    nobodys = replace(THERE, owner=None)
    assert "belongs to no control row" in refusal(CLAIM, nobodys)
    assert recover(replace(CLAIM, adopt_unowned=True), nobodys, appends=False).take_ownership
    assert recover(CLAIM, replace(nobodys, has_rows=False), appends=False).take_ownership


def test_load_full_skips_the_checks_but_not_the_fence_and_takes_the_table() -> None:
    claim = replace(KNOWN, load_full=True)
    assert recover(claim, replace(THERE, owner=uuid4()), appends=True).take_ownership
    assert recover(claim, look(record(6), restored=True), appends=True) == Finding(data_version=version_of(6, 1))
    assert recover(claim, look(record(7)), appends=True).stale


def test_load_full_that_has_landed_unseen_is_adopted_unless_it_was_ordered_again() -> None:
    claim = replace(KNOWN, load_full=True, committed_version=version_of(5, 1))
    served = look(record(6, load_full=True))
    assert recover(claim, served, appends=True).apply
    assert not recover(replace(claim, load_full_orders=1), served, appends=True).apply
    assert not recover(claim, look(record(6)), appends=True).apply


def test_a_fence_repeats_what_was_found_true() -> None:
    found = recover(replace(KNOWN, committed_version=version_of(5, 1)), look(record(6)), appends=True)
    fence = fence_record(KNOWN, found, "run")
    assert fence.is_fence
    assert (fence.watermark, fence.data_version, fence.load_id) == ("65", version_of(6, 1), KNOWN.load_id)


def test_a_fence_repeats_the_rows_own_value_where_that_stands() -> None:
    claim = replace(KNOWN, committed_version=version_of(5, 1), watermark="3", watermark_sets=1)
    fence = fence_record(claim, recover(claim, look(record(6)), appends=False), "run")
    assert (fence.watermark, fence.watermark_sets, fence.data_version) == ("3", 1, version_of(6, 1))


def test_a_commit_record_survives_the_log() -> None:
    made = record(6, backfill=Backfill("id", ("1",), True, "5", "full", 0, 6).to_json())
    assert CommitRecord.from_json(made.to_json()) == made
    assert CommitRecord.from_json('{"someone": "else"}') is None
    assert CommitRecord.from_json(None) is None


def test_two_tables_under_one_protocol_say_the_newer_word() -> None:
    target, staging = look(None, record(6, 0)), look(record(6, 3), record(6, 0))
    both = merge_looks(target, staging)
    assert both.app_version == version_of(6, 3)
    assert both.newest == staging.newest
