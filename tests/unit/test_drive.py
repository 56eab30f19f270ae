from pathlib import Path

import pytest

from heliograph.drive import Drive
from heliograph.protocol.signals import TRAINING_COMPLETE, publish_signal
from support.drives import training_signal


def test_folders_are_made_on_a_drive(drive: Drive) -> None:
    folder = drive.metrics("e1") / "dataset=d" / "metric=m"
    drive.make_folder(folder)
    drive.make_folder(folder)
    assert folder.is_dir()


def test_nothing_is_made_where_the_drive_is_not_mounted(tmp_path: Path) -> None:
    unmounted = Drive(tmp_path)
    with pytest.raises(FileNotFoundError, match="the drive is not mounted"):
        unmounted.make_folder(unmounted.metrics("e1"))
    with pytest.raises(FileNotFoundError):
        publish_signal(unmounted, TRAINING_COMPLETE, training_signal(unmounted, "e1"))
    assert [*tmp_path.iterdir()] == []
