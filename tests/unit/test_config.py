import os
from importlib.resources import files
from pathlib import Path

import pytest

from heliograph.config import WatcherConfig, choose_drive, load_config, load_watcher_config
from heliograph.drive import Drive
from heliograph.errors import BadConfig, NoDrive
from heliograph.stage_settings import stage_settings


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "watcher.yaml"
    path.write_text(text)
    return path


def test_the_commented_default_file_says_what_holds_without_it() -> None:
    default = files("heliograph").joinpath("defaults", "config", "watcher.yaml")
    assert load_config(Path(str(default)), WatcherConfig) == WatcherConfig()


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, "# nothing\n"), WatcherConfig) == WatcherConfig()


@pytest.mark.parametrize("word", ["on", "off", "auto"])
def test_on_and_off_are_words(tmp_path: Path, word: str) -> None:
    text = f"detection: {{inotify: {word}}}"
    assert load_config(write(tmp_path, text), WatcherConfig).detection.inotify == word


@pytest.mark.parametrize(
    ("text", "field", "told"),
    [
        ("executer: slurm", "executer", "Did you mean executor?"),
        ("detection: {inbox_evry_s: 2}", "detection.inbox_evry_s", "Did you mean inbox_every_s?"),
        ("stages: {evaluation: {resources: {memory: 3G}}}", "memory", "unknown key"),
        ("executor: pbs", "executor", "is none of: auto, local, slurm, found 'pbs'"),
        ("publish_every_s: soon", "publish_every_s", "found 'soon'"),
        ("publish_every_s: -1", "publish_every_s", "> 0"),
        ("stages: {evaluation: {resources: {mem: 3 GB}}}", "mem", "found"),
        ("stages: {evaluation: {resources: {partition: 'a; rm -rf ~'}}}", "partition", "found"),
        ("stages: {evaluation: {extra_directives: ['--wrap=`id`']}}", "extra_directives", "found"),
        ("stages: {'../x': {}}", "stages", "found"),
        ("executor: local\nexecutor: slurm", "line 2", "stands here twice"),
        ("executor: [", "line 2", "not readable as YAML"),
        ("a:\n\tb: 1", "line 2", "not readable as YAML"),
        ("!!python/object/apply:os.system ['true']", "line 1", "not readable as YAML"),
        ("- a list", "(top level)", "Expected `object`, got `array`"),
        ("executor: 5", "executor", "found 5"),
        ("stages: {evalution: {}}", "stages.evalution", "Did you mean evaluation?"),
        ("experiments: [{mtch: x}]", "experiments[0].mtch", "Did you mean match?"),
        (
            "experiments: [{match: x, stages: {evalution: {}}}]",
            "experiments[0].stages.evalution",
            "evaluation?",
        ),
        (
            "experiments: [{match: x}, {match: y, stages: {analysis: {resources: {tme: 5}}}}]",
            "experiments[1].stages.analysis.resources.tme",
            "Did you mean time?",
        ),
        (
            "experiments: [{match: y, stages: {analysis: {resources: {mem: 3 GB}}}}]",
            "experiments[0].stages.analysis.resources.mem",
            "found '3 GB'",
        ),
        ("experiments: [{match: y, stages: {analysis: 5}}]", "experiments[0].stages", "Expected `object`"),
        ("experiments: [{match: 'a; b'}]", "experiments[0].match", "found 'a; b'"),
    ],
)
def test_a_mistake_is_told_with_file_field_value_and_remedy(
    tmp_path: Path, text: str, field: str, told: str
) -> None:
    with pytest.raises(BadConfig) as caught:
        load_config(write(tmp_path, text), WatcherConfig)
    message = str(caught.value)
    assert "watcher.yaml" in message
    assert field in caught.value.facts["field"]
    assert told in message
    assert message.isprintable()


@pytest.mark.parametrize("kind", ["fifo", "folder", "huge"])
def test_what_is_no_plain_file_is_told_and_does_not_hang(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "watcher.yaml"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"#" * (1 << 21))
    with pytest.raises(BadConfig, match=r"watcher\.yaml: \(file\): cannot be read"):
        load_config(path, WatcherConfig)


def test_a_stage_that_is_not_written_keeps_its_defaults(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, "stages: {evaluation: {max_attempts: 7}}"), WatcherConfig)
    assert config.stages["analysis"] == WatcherConfig().stages["analysis"]
    assert config.stages["evaluation"].max_attempts == 7


EXPERIMENTS = """
stages:
  evaluation: {resources: {mem: 8G, partition: main, gres: "gpu:1"}, modules: [cuda/12.4], max_attempts: 2}
experiments:
  - match: "big-*"
    stages:
      evaluation: {resources: {mem: 128G, time: "08:00:00", qos: high}, extra_directives: [--nice=100]}
  - match: "*-cpu"
    stages:
      evaluation:
        resources: {gres: null, constraint: avx512, mem: 32G}
        modules: []
        setup: ["module purge"]
      analysis: {max_attempts: 9}
"""


def test_an_experiment_changes_what_is_written_for_it_and_nothing_else(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, EXPERIMENTS), WatcherConfig)
    common = config.stages["evaluation"]
    assert stage_settings(config, "evaluation", "small-1") == common
    big = stage_settings(config, "evaluation", "big-1")
    told = (big.resources.mem, big.resources.time, big.resources.qos, big.resources.gres)
    assert told == ("128G", "08:00:00", "high", "gpu:1")
    assert (big.modules, big.extra_directives, big.max_attempts) == (["cuda/12.4"], ["--nice=100"], 2)
    both = stage_settings(config, "evaluation", "big-1-cpu")
    told = (both.resources.mem, both.resources.time, both.resources.qos, both.resources.gres)
    assert told == ("32G", "08:00:00", "high", None), "the later entry decides, also for the default value"
    assert (both.modules, both.setup, both.resources.partition) == ([], ["module purge"], "main")
    assert stage_settings(config, "analysis", "big-1") == config.stages["analysis"]
    assert stage_settings(config, "analysis", "x-cpu").max_attempts == 9
    assert stage_settings(config, "evaluation", "BIG-1") == common


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"no\.yaml: \(file\): does not exist"):
        load_config(tmp_path / "no.yaml", WatcherConfig)


def test_the_environment_speaks_where_the_file_is_silent(drive: Drive, tmp_path: Path) -> None:
    environ = {"MLFLOW_TRACKING_URI": "http://monitoring:5000", "SLURM_ACCOUNT": "lab"}
    config = load_watcher_config(drive, environ)
    assert config.mlflow_tracking_uri == "http://monitoring:5000"
    assert {stage.resources.account for stage in config.stages.values()} == {"lab"}
    drive.watcher_config.write_text(
        "mlflow_tracking_uri: http://other\nstages: {evaluation: {resources: {account: mine}}}"
    )
    config = load_watcher_config(drive, environ)
    assert config.mlflow_tracking_uri == "http://other"
    assert config.stages["evaluation"].resources.account == "mine"
    named = tmp_path / "elsewhere.yaml"
    named.write_text("executor: local")
    assert load_watcher_config(drive, {"WATCHER_CONFIG": str(named)}).executor == "local"


def test_a_hostile_account_in_the_environment_is_refused(drive: Drive) -> None:
    with pytest.raises(BadConfig, match="SLURM_ACCOUNT"):
        load_watcher_config(drive, {"SLURM_ACCOUNT": "lab; rm -rf ~"})


def test_the_drive_is_the_given_one_else_the_environments() -> None:
    assert choose_drive("/a", {"SHARED_DRIVE": "/b"}).root == Path("/a")
    assert choose_drive(None, {"SHARED_DRIVE": "/b"}).root == Path("/b")
    with pytest.raises(NoDrive, match="SHARED_DRIVE"):
        choose_drive(None, {})


@pytest.mark.parametrize("key", ["partition", "account", "mem", "time"])
def test_a_last_newline_does_not_slip_into_a_directive(tmp_path: Path, key: str) -> None:
    text = f'stages: {{evaluation: {{resources: {{{key}: "1\\n"}}}}}}'
    with pytest.raises(BadConfig, match=key):
        load_config(write(tmp_path, text), WatcherConfig)


def test_a_stage_that_the_file_leaves_out_runs_with_its_defaults(tmp_path: Path) -> None:
    """The watcher looks up the settings of every stage in each pass."""
    config = load_config(write(tmp_path, "stages: {evaluation: {max_attempts: 1}}"), WatcherConfig)
    assert config.stages["evaluation"].max_attempts == 1
    assert config.stages["analysis"] == WatcherConfig().stages["analysis"]
