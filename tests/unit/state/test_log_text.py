import pytest

from heliograph.state.log_text import harmless, mask_secrets, readable


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b31mred", "red"),
        ("10 %\r20 %\r\n", "20 %"),
        ("bell \x07 and \u202etxt", "bell \\x07 and \\u202etxt"),
        ("half \x1b", "half \\x1b"),
        ("", ""),
        ("x" * 3000, "x" * 1999 + "…"),
    ],
)
def test_nothing_acts_on_a_terminal(line: str, shown: str) -> None:
    assert harmless(line) == shown


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("password=hunter2 ok", "password=*** ok"),
        ("PASSWORD: 'hun ter2', x", "PASSWORD: ***, x"),
        ('{"api_key": "abc", "n": 1}', '{"api_key": ***, "n": 1}'),
        ("https://me:hunter2@host/path", "https://me:***@host/path"),
        ("GET /x?a=1&token=abc123&b=2", "GET /x?a=1&token=***&b=2"),
        ("https://s3/x?X-Amz-Signature=abc&y=1", "https://s3/x?X-Amz-Signature=***&y=1"),
        ("Authorization: Bearer eyJhbGciOi", "Authorization: ***"),
        ("-H 'Authorization: Basic dTpw'", "-H 'Authorization: ***'"),
        ("Bearer abcdefgh12345", "Bearer ***"),
        ("HF_TOKEN=hf_abcdefghijklmnopqrst", "HF_TOKEN=***"),
        ("key hf_abcdefghijklmnopqrst used", "key hf_*** used"),
        ("MLFLOW_TRACKING_PASSWORD=x", "MLFLOW_TRACKING_PASSWORD=***"),
    ],
)
def test_obvious_secrets_are_masked(line: str, shown: str) -> None:
    assert mask_secrets(line) == shown


@pytest.mark.parametrize(
    "line",
    [
        *("tokens=512 loss=3.2", "token: 5", "pad_token: <pad>", "eos_token='</s>'", "password: None"),
        *("the password is asked for", "http://host:5000/#/experiments/1", "time 12:30:01", "sk-learn"),
        *("Unexpected token in JSON at position 4", "max_token=128"),
    ],
)
def test_what_is_no_secret_stays(line: str) -> None:
    assert mask_secrets(line) == line


def test_a_hostile_line_costs_no_time() -> None:
    assert harmless("a" * 1_000_000 + "password" * 1000).startswith("aaa")
    assert mask_secrets("://" * 20_000) == "://" * 20_000


def test_json_lines_are_read_as_people_do() -> None:
    line = (
        '{"time": "2026-01-31T09:05:00.123Z", "level": "WARN", "event": "slow \\u001b[31m drive",'
        ' "experiment": "e1", "stage": "training", "host": "h", "pid": 1, "step": 10, "loss": 3.14159265,'
        ' "traceback": "A\\n  B"}'
    )
    level, shown = readable(line)
    assert level == "WARN"
    assert shown == "09:05:00  WARN   e1/training  slow  drive  step=10 loss=3.1416\nA\n  B"


@pytest.mark.parametrize("line", ['{"a": 1}', "{broken", "[1]", "{" * 5000, '{"event": 1}'])
def test_other_lines_are_shown_as_they_are(line: str) -> None:
    level, shown = readable(line)
    assert level == ""
    assert shown == harmless(line)
