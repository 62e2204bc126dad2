"""The commit protocol's decisions, as one function of what two databases say.

A claim says what the control database knows; a look says what the destination holds. Nothing here does
I/O, so that every order of crashes, stale writers and people's changes can be tried in a test.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from dataloader_core.commit import CommitRecord, Look, version_of
from dataloader_core.control.records import Claim
from dataloader_core.errors import DestinationRefusedError
from dataloader_core.plan import Backfill
from dataloader_core.table import TableConfig


@dataclass(frozen=True, slots=True)
class Finding:
    """What is true of a destination for this claim.

    Attributes:
        stale: The destination has seen a version that is not below this load's own: touch nothing.
        found: This row's newest data commit where the control row does not know it yet.
        apply: Whether ``found`` becomes the row's truth; otherwise the row's own value stands.
        take_ownership: The owner property must be written before anything else.
        data_version: The newest data commit that a fence repeats, None: there never was one.
        note: For people.
    """

    stale: bool = False
    found: CommitRecord | None = None
    apply: bool = False
    take_ownership: bool = False
    data_version: int | None = None
    note: str | None = None


def recover(claim: Claim, look: Look, *, appends: bool) -> Finding:
    """Decide what is true.

    Args:
        claim: The claim as it was started.
        look: What the destination shows, before this load wrote anything.
        appends: The strategy adds rows above a watermark without merging: a wrong watermark would double them.

    Raises:
        DestinationRefusedError: nobody can tell what is true, or the table is not this row's.
        WatermarkDisputedError: see there.
    """
    if is_stale(claim, look):
        return Finding(stale=True)
    if claim.load_full:
        return _ordered_anew(claim, look)
    take_ownership = _check_owner(claim, look)
    if look.restored:
        raise DestinationRefusedError(
            f"{claim.table.destination} was RESTOREd to an older version after this row's last commit "
            f"(version {look.app_version}), so the watermark {claim.watermark!r} proves nothing any more.",
            cure=_FULL,
        )
    if look.app_version is None:
        return _no_commit_of_ours(claim, look, take_ownership)
    if look.app_version == claim.committed_version:
        return Finding(take_ownership=take_ownership, data_version=_data_version(claim, look))
    if claim.committed_version is not None and look.app_version < claim.committed_version:
        return _older_than_known(claim, look, take_ownership)
    return _newer_than_known(claim, look, take_ownership, appends)


_FULL = "Order load_full to read everything again, or put the destination back."


class WatermarkDisputedError(DestinationRefusedError):
    """Committed rows were found whose watermark may not be applied; somebody must say where to go on."""

    def __init__(self, problem: str, *, cure: str, version: int) -> None:
        super().__init__(problem, cure=cure)
        self.version = version


def is_stale(claim: Claim, look: Look) -> bool:
    return look.app_version is not None and look.app_version >= version_of(claim.load_seq, 0)


def _ordered_anew(claim: Claim, look: Look) -> Finding:
    """``load_full`` overwrites: it skips the checks, and adopts only a commit that carried this very order."""
    mine = look.owner == claim.table.table_uid
    record = _newest_record(look)
    served = (
        record is not None
        and not _is_known(claim, record)
        and record.load_full
        and record.load_full_orders == claim.load_full_orders
        and not look.restored
        and mine
        and _applicable(claim, record)
    )
    return Finding(
        found=record if served else None,
        apply=served,
        take_ownership=look.exists and not mine,
        data_version=_data_version(claim, look),
    )


def _check_owner(claim: Claim, look: Look) -> bool:
    """True where the table is nobody's, and empty or ordered to be adopted, so that it may be taken."""
    if not look.exists or look.owner == claim.table.table_uid:
        return False
    cure = "Order load_full to overwrite it, or take it over with `dataloader adopt`."
    if look.owner is not None:
        raise DestinationRefusedError(
            f"{claim.table.destination} belongs to another control row (table_uid {look.owner}), "
            f"not to {claim.control_key} ({claim.table.table_uid}).",
            cure=cure,
        )
    if look.has_rows and not claim.adopt_unowned:
        raise DestinationRefusedError(
            f"{claim.table.destination} holds rows and belongs to no control row; "
            f"{claim.control_key} ({claim.table.table_uid}) did not write them.",
            cure=cure,
        )
    return True


def _no_commit_of_ours(claim: Claim, look: Look, take_ownership: bool) -> Finding:
    if claim.committed_version is not None and _remembers(claim):
        state = "has no commit of this row" if look.exists else "does not exist"
        raise DestinationRefusedError(
            f"{claim.table.destination} {state}, but the control row knows its commit {claim.committed_version} "
            f"with {_memory(claim)}.",
            cure=_FULL,
        )
    return Finding(take_ownership=take_ownership)


def _older_than_known(claim: Claim, look: Look, take_ownership: bool) -> Finding:
    if _remembers(claim):
        raise DestinationRefusedError(
            f"The newest commit of this row in {claim.table.destination} is {look.app_version}, older than "
            f"{claim.committed_version}, which the control row knows with {_memory(claim)}.",
            cure=_FULL,
        )
    return Finding(take_ownership=take_ownership, data_version=_data_version(claim, look))


def _newer_than_known(claim: Claim, look: Look, take_ownership: bool, appends: bool) -> Finding:
    record = _newest_record(look)
    if record is None:
        if look.newest_fence is not None:
            return Finding(take_ownership=take_ownership)
        raise DestinationRefusedError(
            f"{claim.table.destination} has a commit {look.app_version} of this row that the control row does not know "
            f"(it knows {claim.committed_version}), and the log that said what it did is gone.",
            cure=_FULL,
        )
    if _is_known(claim, record):
        return Finding(take_ownership=take_ownership, data_version=record.data_version)
    if _applicable(claim, record):
        note = f"adopted commit {record.version} of load {record.load_id}, which had not been reported"
        return Finding(False, record, True, take_ownership, record.data_version, note)
    if appends and not _dispute_settled(claim, record):
        why = (
            "its configuration has changed since"
            if record.fingerprint != claim.fingerprint
            else "somebody set incremental_value since"
        )
        raise WatermarkDisputedError(
            f"{claim.table.destination} holds rows of commit {record.version} with watermark {record.watermark!r}, "
            f"which the control row does not know, and {why}: it says {claim.watermark!r}. Appending from there may "
            "double or lose rows.",
            cure="Set incremental_value again (to either value) or clear it: that is the order to go on from it.",
            version=record.version,
        )
    note = f"commit {record.version} was found, but the row's own watermark {claim.watermark!r} stands"
    return Finding(False, record, False, take_ownership, record.data_version, note)


def _newest_record(look: Look) -> CommitRecord | None:
    """This row's newest data commit, or what its newest fence repeats where the log before it is gone."""
    if look.newest is not None:
        return look.newest
    fence = look.newest_fence
    return fence if fence is not None and fence.data_version is not None else None


def _is_known(claim: Claim, record: CommitRecord) -> bool:
    """Only fences came after what the control row already says."""
    known = claim.committed_version
    return known is not None and record.data_version is not None and record.data_version <= known


def _applicable(claim: Claim, record: CommitRecord) -> bool:
    return record.fingerprint == claim.fingerprint and claim.watermark_sets == record.watermark_sets


def _dispute_settled(claim: Claim, record: CommitRecord) -> bool:
    return (
        claim.disputed_version == record.version
        and claim.disputed_sets is not None
        and claim.watermark_sets != claim.disputed_sets
    )


def _remembers(claim: Claim) -> bool:
    return claim.watermark is not None or (claim.backfill is not None and claim.backfill.done > 0)


def _memory(claim: Claim) -> str:
    if claim.watermark is not None:
        return f"watermark {claim.watermark!r}"
    assert claim.backfill is not None
    return f"{claim.backfill.done} of {claim.backfill.chunks} chunks loaded"


def _data_version(claim: Claim, look: Look) -> int | None:
    record = _newest_record(look)
    if record is not None:
        return record.data_version
    known = claim.committed_version
    return known if known is not None and look.newest_fence is None and known == look.app_version else None


def fence_record(claim: Claim, finding: Finding, run_id: str | None) -> CommitRecord:
    """The fence of this load: it repeats what recovery found true."""
    version = version_of(claim.load_seq, 0)
    if finding.found is not None and finding.apply:
        return finding.found.fence_at(version, claim.load_id, run_id)
    return CommitRecord(
        load_id=claim.load_id,
        version=version,
        table_uid=claim.table.table_uid,
        watermark=claim.watermark,
        rows=0,
        fingerprint=claim.fingerprint,
        load_full=False,
        backfill=claim.backfill.to_json() if claim.backfill else None,
        data_version=finding.data_version,
        run_id=run_id,
        watermark_sets=claim.watermark_sets,
        load_full_orders=claim.load_full_orders,
    )


def staging_name(table: TableConfig, backfill: Backfill) -> str:
    """Where a backfill that publishes at its end gathers its chunks.

    Never reused: ``load_seq`` only grows, and a control row that was made anew has another ``table_uid``.
    """
    return f"{table.destination_table_name}__backfill_{backfill.started_seq}_{table.table_uid.hex[:8]}"


def merge_looks(target: Look, staging: Look) -> Look:
    """What two tables under one protocol say together: the newer word counts."""

    def newer(a: CommitRecord | None, b: CommitRecord | None) -> CommitRecord | None:
        if a is None or b is None:
            return a or b
        return a if a.version >= b.version else b

    versions = [v for v in (target.app_version, staging.app_version) if v is not None]
    return replace(
        target,
        app_version=max(versions, default=None),
        newest=newer(target.newest, staging.newest),
        newest_fence=newer(target.newest_fence, staging.newest_fence),
    )
