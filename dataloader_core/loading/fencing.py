"""Look, then fence: what must be settled with the destination before a load may plan."""

from __future__ import annotations

from dataclasses import replace

from dataloader_core.commit import CommitRecord, Look, load_seq_of
from dataloader_core.errors import DestinationRefusedError, RivalCommitError
from dataloader_core.failpoints import hit
from dataloader_core.interfaces.engine import Destination
from dataloader_core.loading.context import LOOKS, LoadContext
from dataloader_core.loading.patience import patiently
from dataloader_core.loading.recovery import Finding, WatermarkDisputedError, fence_record, merge_looks, recover
from dataloader_core.table import SourceTable


def settle(load: LoadContext, target: Destination, source: SourceTable) -> Look:
    """Look, decide, fence and write down what was found, until one look holds all through.

    Returns:
        The look that the load goes on from; its application version is ``load.base[target.location]``.

    Raises:
        ClaimLostError: the destination is ahead of this load, which is no longer the holder.
        DestinationRefusedError: see :func:`~dataloader_core.loading.recovery.recover`.
    """
    always_fence = not load.claim.previous_closed
    for _ in range(LOOKS):
        load.stop()
        look = load.look(target)
        finding = _decide(load, look)
        if finding.stale:
            assert look.app_version is not None
            load.claim = load.control.raise_load_seq(load.claim, past=load_seq_of(look.app_version))
            always_fence = True
            continue
        try:
            fence = _fence(load, target, look, finding, source, always_fence)
        except RivalCommitError:
            always_fence = True
            continue
        if fence is not None:
            behind = load.look(target)
            if not _holds(look, fence, behind):
                always_fence = True
                continue
        _write_down(load, look, finding, fence)
        if fence is not None:
            look = behind
        load.base[target.location] = look.app_version
        load.refuse_problems(look)
        return look
    raise RivalCommitError(
        f"{load.claim.table.destination} was changed by somebody else {LOOKS} times while this load looked at it.",
        cure="Load it again when the other writer is done.",
    )


def _holds(look: Look, fence: CommitRecord, behind: Look) -> bool:
    """Whether what was found before the fence is still true behind it: a load that lost its claim may have committed in
    the moment between, below the fence, or somebody have RESTOREd the table."""
    same = behind.newest == look.newest and (look.restored or not behind.restored)
    return same and behind.app_version == fence.version


def look_only(load: LoadContext, target: Destination) -> tuple[Look, Finding]:
    """What :func:`settle` would find, with nothing changed (for ``plan``)."""
    look = load.look(target)
    return look, _recover(load, _with_staging(load, look))


def _decide(load: LoadContext, look: Look) -> Finding:
    try:
        return _recover(load, _with_staging(load, look))
    except WatermarkDisputedError as dispute:
        load.control.dispute(load.claim, dispute.version)
        raise


def _recover(load: LoadContext, look: Look) -> Finding:
    strategy = load.strategy()
    # without a watermark or progress to go on from it starts by overwriting, so that nothing can be doubled
    appends = strategy.appends and (load.claim.watermark is not None or load.claim.backfill is not None)
    return recover(load.claim, look, appends=appends)


def _staging(load: LoadContext) -> Destination | None:
    """The staging table of an unfinished backfill that publishes at its end."""
    backfill = load.claim.backfill
    return load.staging_of(backfill) if backfill is not None and backfill.publish == "at_end" else None


def _with_staging(load: LoadContext, look: Look) -> Look:
    staging = _staging(load)
    if staging is None:
        return look
    backfill = load.claim.backfill
    assert backfill is not None
    aside = load.look(staging)
    published = look.newest is not None and look.newest.becomes is not None
    if not aside.exists and backfill.done and not published and not load.claim.load_full:
        raise DestinationRefusedError(
            f"{staging.location} is gone, with the {backfill.done} chunks that it held.",
            cure="Order load_full to start the backfill anew.",
        )
    return merge_looks(look, aside)


def _fence(
    load: LoadContext, target: Destination, look: Look, finding: Finding, source: SourceTable, always: bool
) -> CommitRecord | None:
    """Commit what must be committed before planning: creation, ownership, the fence. None: nothing."""
    claim = replace(load.claim, watermark=None, backfill=None) if _begins_anew(load, finding) else load.claim
    record = fence_record(claim, finding, claim.run_id)
    if not look.exists:
        load.about_to_write()
        hit("load.before_create")
        target.create(source, record)
    elif always or finding.take_ownership:
        load.refuse_problems(look)
        load.about_to_write()
        hit("load.before_fence")
        if (staging := _staging(load)) is not None and (aside := load.look(staging)).exists:
            staging.commit_empty(aside, record)
            hit("load.between_fences")
        target.commit_empty(look, record, own=finding.take_ownership)
    else:
        return None
    hit("load.after_fence")
    return record


def _begins_anew(load: LoadContext, finding: Finding) -> bool:
    """``load_full`` skipped the checks, so that what the row remembers may be of another table than this one."""
    return load.claim.load_full and not finding.apply


def _write_down(load: LoadContext, look: Look, finding: Finding, fence: CommitRecord | None) -> None:
    version = fence.version if fence is not None else look.app_version
    if version is None or (version == load.claim.committed_version and finding.found is None):
        return
    hit("load.before_recovery")
    load.claim = patiently(
        lambda: load.control.record_recovery(
            load.claim,
            committed_version=version,
            found=finding.found,
            apply=finding.apply,
            forget=fence is not None and _begins_anew(load, finding),
        ),
        load.stop,
    )
    hit("load.after_recovery")
    if finding.note:
        load.note(finding.note)
