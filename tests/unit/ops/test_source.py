"""A command that writes points is held to the epoch of the workers."""

import pytest

from ops.source import check_epoch
from schemas.errors import SettingsError
from schemas.source_mark import SourceMark


def marks(*epochs: int) -> dict[int, SourceMark]:
    return {partition: SourceMark(epoch=epoch, topic_id="t") for partition, epoch in enumerate(epochs)}


@pytest.mark.parametrize(("found", "epoch"), [((), 0), ((), 3), ((1, 1), 1), ((0, 1), 1)])
def test_epoch_of_the_workers_is_taken(found: tuple[int, ...], epoch: int) -> None:
    check_epoch(marks(*found), epoch)


@pytest.mark.parametrize(
    ("found", "epoch", "hint"),
    [
        ((0, 0), 1, "set LOCKSTEP_WORKER_EPOCH=0, or restart the workers first"),
        ((1, 0), 0, "set LOCKSTEP_WORKER_EPOCH=1"),
    ],
    ids=["above", "below"],
)
def test_other_epoch_is_refused(found: tuple[int, ...], epoch: int, hint: str) -> None:
    with pytest.raises(SettingsError, match=f"LOCKSTEP_WORKER_EPOCH is {epoch}, and the workers' is") as caught:
        check_epoch(marks(*found), epoch)
    assert caught.value.hint == hint
