"""What goes wrong before a command does anything: one sentence, a stable exit code, no traceback."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError

from processors.decode import encode_jpeg
from streams import cli, worker
from streams.cli.exits import Exit, told
from tests.unit.docs.test_documents import COMMANDS

ROOT = Path(__file__).parents[4]
NOWHERE = "127.0.0.1:9"  # the port "discard": nobody listens

# What each command needs to be called at all.
ARGUMENTS = {
    "worker": ["enrich"],
    "ingest": ["{photo}"],
    "delete": ["sku-1"],
    "query": ["--text", "red"],
    "dlq show": ["x"],
    "dlq redrive": ["--all", "--yes"],
    "dlq drop": ["--all", "--yes"],
    "eval detector": ["--images", "x", "--coco", "x"],
    "eval encoder": ["--gallery", "x", "--queries", "x"],
    "eval colour": ["--products", "x", "--images", "x"],
    "eval attributes": ["--products", "x", "--images", "x"],
    "train": ["detector"],
}
# Those that speak to a broker; `worker` waits half a minute for one (tests/integration/test_late_broker.py).
CLIENTS = ["up", "ingest", "delete", "query", "captions", "topics create", "topics list", "dlq list", "dlq show"]
CLIENTS += ["dlq redrive", "dlq drop", "doctor"]


@pytest.fixture
def weft(monkeypatch, capfd, tmp_path):
    """Runs a command in this process; returns its exit code and what it said on stderr."""
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(encode_jpeg(np.full((64, 64, 3), 200, dtype=np.uint8)))
    monkeypatch.setenv("WEFT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("WEFT_PROFILE", "fake")

    def run(command, *more, **environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        arguments = [part.format(photo=photo) for part in ARGUMENTS.get(command, [])]
        monkeypatch.setattr(sys, "argv", ["weft", *command.split(), *arguments, *more])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capfd.readouterr()
        return ended.value.code or 0, said.err, said.out

    return run


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_a_setting_that_is_no_json_ends_every_command(command, weft):
    """Exit code 2, the variable's name, and how a list is written."""
    code, said, _ = weft(command, WEFT_ALLOWED_HOSTS="a.example,b.example")
    assert code == Exit.USAGE
    assert said.startswith("WEFT_ALLOWED_HOSTS: 'a.example,b.example' is no JSON list")
    assert '["a.example", "b.example"]' in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WEFT_FILE_ROOTS", "/a:/b"),
        ("WEFT_TOPIC_NAMES", "a=b"),
        ("WEFT_TOPIC_NAMES", '{"no.such": "x"}'),
        ("WEFT_PARTITIONS", "many"),
        ("WEFT_FACET_POLICY", '{"fabrik": "merchant"}'),
        ("WEFT_DEVICE", "gpu"),
        ("WEFT_STORE_URL", "ftp://somewhere"),
        ("WEFT_STORE_URL", "s3://[broken"),
        ("WEFT_BOOTSTRAP_SERVERS", "kafka:port"),
        ("WEFT_BOOTSTRAP_SERVERS", " , "),
        ("WEFT_BOOTSTRAP_SERVERS", "http://127.0.0.1:9092"),
        ("WEFT_BOOTSTRAP_SERVERS", "kafka-1:9092,PLAINTEXT://kafka-2:9092"),
        ("WEFT_BOOTSTRAP_SERVERS", "kafka:9092/path"),
        ("WEFT_BOOTSTRAP_SERVERS", "::1:9092"),
        ("WEFT_STALL_SECONDS", "inf"),
    ],
)
def test_a_wrong_setting_is_named(name, value, weft):
    """By the variable that the user typed, whether or not the command would have needed it."""
    code, said, _ = weft("models list", **{name: value})
    assert (code, name in said) == (Exit.USAGE, True), said
    assert "Traceback" not in said


@pytest.mark.parametrize("command", ["up", "worker caption"])
def test_a_rule_file_that_is_none_is_told_before_anything_starts(command, weft, tmp_path):
    """A stack started the role that refuses it anew for ever, and a worker waited for the broker first."""
    code, said, _ = weft(command, WEFT_HOLD_RULES=str(tmp_path / "none.json"), WEFT_DATA_DIR=str(tmp_path / "data"))
    assert (code, "WEFT_HOLD_RULES" in said) == (Exit.USAGE, True), said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WEFT_KITS", "/no/such/folder"),
        ("WEFT_STORY_WRITER", "/no/such/file"),
        ("WEFT_SECOND_ENCODER", "/no/such/folder"),
        ("WEFT_COMPOSER", "nobody"),
        ("WEFT_COMPOSER", "combiner"),
        ("WEFT_COMPOSER_SHARES", '{"facets": NaN}'),
        ("WEFT_COMPOSER_SHARES", '{"facets": 0}'),
        ("WEFT_COMPOSERS", '{"combiner": "/no/such/file"}'),
        ("WEFT_COMPOSERS", '{"facets": "/no/such/file"}'),
    ],
)
def test_what_one_role_would_refuse_ends_the_stack_at_once(name, value, weft):
    """`weft up` started the role anew until it gave up, said 1, and the sentence stood in the role's log."""
    code, said, _ = weft("up", **{name: value})
    assert (code, name in said) == (Exit.USAGE, True), said


def test_a_worker_minds_the_files_of_its_own_roles_only(weft, monkeypatch):
    """A folder of kits is mounted where captions are written; `enrich` beside it goes on to look for its broker."""
    monkeypatch.setattr(worker, "BROKER_PATIENCE_S", 0.0)
    nowhere = {"WEFT_KITS": "/no/such/folder", "WEFT_BOOTSTRAP_SERVERS": NOWHERE}
    code, said, _ = weft("worker caption", **nowhere)
    assert (code, "WEFT_KITS" in said) == (Exit.USAGE, True), said
    code, said, _ = weft("worker", **nowhere)
    assert code == Exit.UNAVAILABLE, said
    assert f"weft: no Kafka broker answers at {NOWHERE}" in said


@pytest.mark.parametrize("value", ["{missing}/ca.pem", "{here}"])
def test_a_certificate_that_is_none_is_named(value, weft, tmp_path):
    """A file that is not there, and one that holds no certificate."""
    (tmp_path / "no.pem").write_text("nothing")
    file = value.format(missing=tmp_path, here=tmp_path / "no.pem")
    code, said, _ = weft(
        "captions",
        WEFT_BOOTSTRAP_SERVERS=NOWHERE,
        WEFT_KAFKA_SECURITY_PROTOCOL="SSL",
        WEFT_KAFKA_SSL_CAFILE=file,
    )
    assert (code, "WEFT_KAFKA_SSL_CAFILE" in said) == (Exit.USAGE, True), said


@pytest.mark.parametrize("command", CLIENTS)
def test_without_a_broker(command, weft):
    """Exit code 4 and one sentence, for every command that needs one."""
    code, said, out = weft(command, WEFT_BOOTSTRAP_SERVERS=NOWHERE)
    assert code == Exit.UNAVAILABLE, said
    assert NOWHERE in said + out
    assert "Traceback" not in said
    assert "Unclosed" not in said


def test_help_is_shown_whatever_is_set(weft):
    """Somebody with a wrong setting looks there first."""
    for words in ("query --help", "dlq list -h", "--help"):
        code, _, out = weft(words, WEFT_ALLOWED_HOSTS="a,b")
        assert code == 0
        assert "Usage" in out


def test_the_version(weft):
    """`weft 0.1.0`."""
    code, _, out = weft("--version", WEFT_ALLOWED_HOSTS="a,b")
    assert code == 0
    assert re.fullmatch(r"weft \d+\.\d+\.\d+\S*\n", out)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell, tmp_path):
    """The script that a shell is given, and a completion as that script asks for it."""
    weft = Path(sys.executable).with_name("weft")
    script = subprocess.run(
        [weft], env={"_WEFT_COMPLETE": f"source_{shell}"}, capture_output=True, text=True, check=False, timeout=60
    )
    assert "_WEFT_COMPLETE" in script.stdout, script.stderr
    if shell == "bash":
        asked = {"_WEFT_COMPLETE": "complete_bash", "COMP_WORDS": "weft dlq ", "COMP_CWORD": "2"}
        found = subprocess.run([weft], env=asked, capture_output=True, text=True, check=False, timeout=60)
        assert {"list", "show", "redrive", "drop"} <= set(found.stdout.split())


def test_the_documented_exit_codes_are_the_real_ones():
    """The table of docs/cli.md has one row for each member of `Exit`, and no other."""
    page = (ROOT / "docs" / "cli.md").read_text().partition("## Exit codes")[2]
    rows = re.findall(r"^\| (\d+) \| [^|]+ \|$", page, re.MULTILINE)
    assert [int(row) for row in rows] == sorted(Exit)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e400"])
@pytest.mark.parametrize(
    "words",
    [
        "query --text red --min-relevance {}",
        "query --text red --score-band {}",
        "forget sku-1 --timeout {}",
        "ingest . --timeout {}",
        "replay --topic catalog.items --into g-2 --rate {}",
        "index build g-2 --rate {}",
        "standing add q --text red --wait {}",
        "standing add q --text red --min-relevance {}",
        "train detector --minutes {}",
    ],
)
def test_a_number_that_does_not_end_is_no_argument(words, value, weft):
    """`nan` passes every bound: a wait or a pace that never ends, or a bound that nothing is held to."""
    option = words.split()[-2]
    code, said, _ = weft("", *words.format(value).split())
    assert (code, option in said) == (Exit.USAGE, True), said


@pytest.mark.parametrize("words", ["store gc --older-than -5d", "dlq list --older-than 3", "forget x --timeout -1"])
def test_a_time_that_is_none_is_a_wrong_argument(words, weft):
    """Exit code 2, as all of the command line that is wrong."""
    code, said, _ = weft("", *words.split())
    assert code == Exit.USAGE, said


def test_only_optional_roles_are_started_beside_the_others(weft):
    """`up --with` names what there is; nothing is started."""
    code, said, _ = weft("up", "--with", "captions")
    assert (code, "no such role as captions" in said, "triplets" in said) == (Exit.USAGE, True, True), said
    code, said, _ = weft("up", "--with", "shadow")
    assert (code, "WEFT_SHADOW_PROFILE" in said) == (Exit.USAGE, True), said


def test_a_recipe_that_says_what_none_does_is_told(weft, tmp_path):
    """The field is named; a recipe of another network goes its own way, and says what it lacks."""
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("network: transformer\nwarm: 1\n")
    code, said, _ = weft("train composer", "--recipe", str(recipe), "--run", str(tmp_path / "run"))
    assert (code, "mine.yaml" in said) == (Exit.REJECTED, True), said


def test_a_right_that_is_missing_is_no_broker_that_is_away():
    """A script that tries again at exit code 4 would do so for ever; the sentence says who names the right."""
    code, said = told(TopicAuthorizationFailedError("catalog.captions"))
    assert (code, "catalog.captions" in said, "weft doctor" in said) == (Exit.FAILED, True, True)
    assert told(KafkaConnectionError("gone"))[0] == Exit.UNAVAILABLE
