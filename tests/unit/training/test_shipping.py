"""Metrics reach MLflow; a server that is dead or hangs changes nothing, and is served later."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from heliograph.config import local_state_folder
from heliograph.drive import Drive
from heliograph.errors import TrackingError
from heliograph.protocol.events import TrainingCompleted, TrainingStarted
from heliograph.tracking import Mlflow
from heliograph.training.config import HookSettings
from heliograph.training.metrics import End, Point, RunNote, Sent, Spool
from heliograph.training.shipper import Shipper, ship
from heliograph.training.sync import bring_all
from unit.tracking.test_tracking import ask, history
from unit.training.runs import events, make_run, train_tiny, wait_until

IMPATIENT = HookSettings(exit_wait_s=0.2)


def note(uri: str, run: str = "0123456789ab") -> RunNote:
    return RunNote(uri, "heliograph", "exp_01", run, 1_700_000_000_000, {"model.width": "8"}, {"a": "b"})


def points(first: int, last: int) -> list[Point]:
    return [Point(1_700_000_000_000 + s, s, {"loss": 1 / s, "rate": s}) for s in range(first, last + 1)]


def run_info(uri: str, run_id: str) -> dict[str, object]:
    told = ask(uri, f"runs/get?run_id={run_id}")["run"]
    params = {p["key"]: p["value"] for p in told["data"].get("params", [])}
    tags = {t["key"]: t["value"] for t in told["data"].get("tags", [])}
    return {"params": params, "tags": tags, **told["info"]}


def spool_folder(drive: Drive) -> Path:
    return local_state_folder(None) / "spool" / drive.read_id()


def bring(drive: Drive) -> tuple[int, list[str]]:
    brought = bring_all(drive, spool_folder(drive))
    return brought.points, brought.mlflow_trouble


# A server that lives ----------------------------------------------------------------------------------


def test_a_training_is_a_run_in_mlflow(
    drive: Drive, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    train_tiny(drive, params={"note": "mine"})
    told = json.loads(drive.training_metadata("exp_01").read_bytes())
    where = told["mlflow"]
    assert where["tracking_uri"] == mlflow_uri
    assert history(mlflow_uri, where["run_id"], "loss") == [(1, 3.0), (2, 1.5), (3, 1.0)]
    assert len(history(mlflow_uri, where["run_id"], "checkpoint_mb")) == 3
    info = run_info(mlflow_uri, where["run_id"])
    assert (info["run_name"], info["status"]) == ("exp_01", "FINISHED")
    assert info["experiment_id"] == where["experiment_id"] == Mlflow(mlflow_uri).experiment_id("heliograph")
    assert info["params"]["params.note"] == "mine" and info["params"]["model.layers"] == "4"
    assert info["tags"]["heliograph.run"] == told["run"]
    assert events(drive, TrainingStarted)[0].body.mlflow_run_id == where["run_id"]
    assert events(drive, TrainingCompleted)[0].body.mlflow_run_id == where["run_id"]
    assert list((spool_folder(drive) / "metrics").iterdir()) == []


def test_the_watchers_config_names_the_server_too(
    drive: Drive, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive.watcher_config.write_text(f"mlflow_tracking_uri: {mlflow_uri}\n")
    train_tiny(drive)
    assert json.loads(drive.training_metadata("exp_01").read_bytes())["mlflow"]["tracking_uri"] == mlflow_uri


def test_a_training_that_fails_is_a_failed_run(
    drive: Drive, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    with pytest.raises(ZeroDivisionError), make_run(drive):
        print(1 / 0)
    run_id = events(drive, TrainingStarted)[0].body.mlflow_run_id
    assert run_info(mlflow_uri, run_id)["status"] == "FAILED"


def test_what_was_sent_and_not_noted_is_sent_again_and_stored_once(tmp_path: Path, mlflow_uri: str) -> None:
    spool, client = Spool(tmp_path / "spool"), Mlflow(mlflow_uri, timeout_s=30)
    spool.begin(note(mlflow_uri, run="sent-twice"))
    spool.append(points(1, 1200))
    assert ship(spool, client) == 1200
    sent = spool.read_sent()
    (spool.folder / "sent.json").unlink()  # killed before the run's id was noted
    assert ship(spool, client) == 1200
    assert spool.read_sent() == sent
    spool.note_sent(Sent(sent.experiment_id, sent.run_id))  # killed before the offset was noted
    spool.append([Point(1_700_000_009_999, 2000, {"loss": math.nan})])
    spool.note_end(End("FINISHED", 1_700_000_100_000))
    assert ship(spool, client) == 1201
    found = history(mlflow_uri, sent.run_id, "loss")
    assert [step for step, _ in found] == [*range(1, 1201), 2000] and math.isnan(found[-1][1])
    assert run_info(mlflow_uri, sent.run_id)["end_time"] == 1_700_000_100_000
    assert not spool.folder.exists()


# Servers that do not serve ----------------------------------------------------------------------------


@pytest.mark.parametrize("server", ["dead_uri", "hanging_uri"])
def test_a_server_that_does_not_serve_changes_nothing(
    drive: Drive,
    server: str,
    request: pytest.FixtureRequest,
    mlflow_uri: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("heliograph.training.meter._WAIT_FOR_RUN_S", 0.1)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", request.getfixturevalue(server))
    run = train_tiny(drive, hook=IMPATIENT)  # a client may hang for 3 s; the end does not wait
    assert run.signal is not None and run.signal.content.final_loss == 1.0
    assert json.loads(drive.training_metadata("exp_01").read_bytes())["mlflow"] is None
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1
    assert "heliograph sync" in caplog.text
    (waiting,) = (spool_folder(drive) / "metrics").iterdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_uri)
    wait_until(lambda: is_let_go(Spool(waiting)))  # by the thread; a real process has ended before sync
    assert bring(drive) == (6, [])
    found = Mlflow(mlflow_uri).find_run(
        Mlflow(mlflow_uri).experiment_id("heliograph"), tag="heliograph.run", value=waiting.name
    )
    assert history(mlflow_uri, found, "loss") == [(1, 3.0), (2, 1.5), (3, 1.0)]
    assert run_info(mlflow_uri, found)["status"] == "FINISHED" and not waiting.exists()
    assert bring(drive) == (0, [])


def is_let_go(spool: Spool) -> bool:
    with spool.lock() as mine:
        return mine


def test_an_address_that_is_none_is_a_warning(
    drive: Drive, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    assert train_tiny(drive).signal is not None
    assert "metrics go to the log only" in caplog.text and "not the address" in caplog.text


def test_sync_says_what_still_waits(
    drive: Drive, dead_uri: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", dead_uri)
    train_tiny(drive)
    (waiting,) = (spool_folder(drive) / "metrics").iterdir()
    sent, trouble = bring(drive)
    assert sent == 0 and str(waiting) in trouble[0] and "refused" in trouble[0]


def test_metrics_of_a_killed_training_are_sent_and_its_run_ended(
    drive: Drive, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(spool_folder(drive) / "metrics" / "killed-run")
    spool.begin(note(mlflow_uri, run="killed-run"))
    spool.append(points(1, 3))
    with (spool.folder / "points.jsonl").open("a") as file:
        file.write('[1700000000004, 4, {"lo')  # cut off in the middle of a line
    assert bring(drive) == (3, [])
    client = Mlflow(mlflow_uri)
    run_id = client.find_run(client.experiment_id("heliograph"), tag="heliograph.run", value="killed-run")
    assert run_info(mlflow_uri, run_id)["status"] == "KILLED"
    assert [step for step, _ in history(mlflow_uri, run_id, "loss")] == [1, 2, 3]


# The spool and the thread -----------------------------------------------------------------------------


def test_a_spool_that_a_living_training_holds_is_left_alone(drive: Drive, dead_uri: str) -> None:
    spool = Spool(spool_folder(drive) / "metrics" / "living-run")
    spool.begin(note(dead_uri))
    with spool.lock() as mine:
        assert mine
        assert bring(drive) == (0, [])
    assert spool.read_end() is None


def test_a_local_disk_that_takes_nothing_keeps_the_points_in_memory(
    tmp_path: Path, dead_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path / "spool")
    spool.begin(note(dead_uri))
    told: dict[str, str] = {}
    shipper = Shipper(spool, Mlflow(dead_uri), told.__setitem__)
    with monkeypatch.context() as patch:
        patch.setattr(Spool, "append", refuse)
        shipper.put(points(1, 1)[0])
        shipper.start()
        wait_until(lambda: "spool" in told)
    shipper.close(End("FINISHED", 1), timeout_s=5)
    assert "wait in memory" in told["spool"]
    ((found, _),) = spool.batches(0)
    assert found == points(1, 1)


def test_points_beyond_what_memory_may_hold_are_lost_with_a_warning(
    tmp_path: Path, dead_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heliograph.training.shipper._MOST_WAITING", 3)
    told: dict[str, str] = {}
    shipper = Shipper(Spool(tmp_path / "spool"), Mlflow(dead_uri), told.__setitem__)  # never started
    for point in points(1, 5):
        shipper.put(point)
    assert "further ones are lost" in told["full"]


def refuse(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_shipping_raises_what_the_server_says(tmp_path: Path, dead_uri: str) -> None:
    spool = Spool(tmp_path / "spool")
    spool.begin(note(dead_uri))
    spool.append(points(1, 2))
    with pytest.raises(TrackingError):
        ship(spool, Mlflow(dead_uri))
    assert spool.read_sent() is None
