"""What a command or a role imports: seconds of every start, and what nobody notices when it comes back."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from streams.cli import app as cli
from streams.contract.topics import ROLES
from tests.unit.docs.test_documents import COMMANDS

ROOT = Path(__file__).parents[4]
MODELS = {
    "torch",
    "torchvision",
    "timm",
    "open_clip",
    "transformers",
    "ultralytics",
    "bitsandbytes",
    "peft",
    "accelerate",
}
COMPUTING = {*MODELS, "faiss", "numpy", "cv2", "PIL", "matplotlib", "scipy"}
SERVING = {"faust", "mode", "structlog", "aiohttp", "prometheus_client"}


def loaded(code: str, **environment: str) -> set[str]:
    """The modules that a fresh interpreter has after `code`, whatever ends it."""
    program = (
        f"import atexit, json, sys\natexit.register(lambda: print('\\n' + json.dumps(sorted(sys.modules))))\n{code}"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("WEFT_", "COV_"))}
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env=clean | {"WEFT_BOOTSTRAP_SERVERS": "127.0.0.1:9"} | environment,
        cwd=ROOT,
    )
    assert done.stdout.strip(), done.stderr
    return set(json.loads(done.stdout.strip().splitlines()[-1]))


def calling(*words: str) -> str:
    return f"sys.argv = {['weft', *words]!r}\nfrom streams.cli import main\nmain()"


@pytest.mark.parametrize(
    ("words", "environment"),
    [
        (["--help"], {}),
        (["--version"], {}),
        (["nosuch"], {}),
        ([], {"_WEFT_COMPLETE": "complete_bash", "COMP_WORDS": "weft qu", "COMP_CWORD": "1"}),
    ],
    ids=["help", "version", "unknown command", "completion"],
)
def test_what_calls_no_command_imports_none(words, environment):
    """`weft --help` and Tab are typed often: neither settings, nor Kafka, nor the library that draws boxes."""
    found = loaded(calling(*words), **environment)
    assert "typer" in found
    assert (
        sorted(
            found
            & {
                *COMPUTING,
                *SERVING,
                "pydantic_settings",
                "msgspec",
                "aiokafka",
                "asyncio",
                "rich",
                "streams.cli.output",
            }
        )
        == []
    )


@pytest.mark.parametrize(
    "words",
    ["query --text red", "captions", "delete x", "dlq list", "doctor", "topics list", "store show", "models list"],
)
def test_a_tool_imports_neither_models_nor_the_engine(words):
    """It asks a broker and prints what it says; here the broker is away, and everything before that was imported."""
    found = loaded(calling(*words.split()))
    assert "streams.cli.output" in found
    assert sorted(found & (COMPUTING | SERVING)) == []


def test_up_imports_nothing_that_only_its_roles_need():
    """It waits for a broker and for children, which need the processor meanwhile."""
    found = loaded("import streams.ops.stack, streams.cli.serve")
    assert (
        sorted(found & (COMPUTING | {"faust", "mode", "aiohttp", "aiokafka", "prometheus_client", "structlog"})) == []
    )


@pytest.mark.parametrize("role", ROLES)
def test_a_role_imports_what_it_is_made_of_and_no_other(role):
    """Before any model is loaded: FAISS where vectors are searched, Faust and the models' libraries not yet."""
    found = loaded(f"import streams.worker\nfrom streams.wiring.roles import role_named\nrole_named({role!r})")
    assert sorted(found & {*MODELS, "faust", "mode", "matplotlib", "openpyxl"}) == []
    assert ("faiss" in found) == (role in {"index", "caption", "standing"})
    others = {f"streams.wiring.{other}" for other in ROLES if other != role}
    assert sorted(found & others) == []


@pytest.mark.parametrize(
    ("models", "free_of"),
    [
        (
            "detector image_encoder",
            {"torchvision", "timm", "open_clip", "transformers", "torch._dynamo", "sympy", "faiss"},
        ),
        (
            "image_encoder text_encoder",
            {"torchvision", "timm", "open_clip", "transformers", "ultralytics", "sympy", "faiss"},
        ),
    ],
    ids=["enrich", "compose"],
)
def test_models_that_serve_import_no_library_that_only_trains(models, free_of):
    """Loaded and run once, as a role does: torch is all that the encoder needs, and the detector ultralytics' layers."""
    code = (
        "from infra.settings import Settings\nfrom models.guard import ignore\n"
        "from streams.wiring.models import Models\n"
        f"models = Models(Settings(threads=1), lambda _: ignore)\nfor name in {models.split()!r}: getattr(models, name)"
    )
    found = loaded(code)
    assert "torch" in found
    assert sorted(found & free_of) == []


def test_the_list_of_commands_is_what_the_modules_have():
    """Help and completion go by a table: it names each command, its module, and the first line of its help."""
    assert {words.split()[0] for words in COMMANDS} == set(cli.COMMANDS)
    whole = typer.main.get_group(cli.app).commands
    assert set(whole) == set(cli.COMMANDS)
    for name, (module, text) in cli.COMMANDS.items():
        assert whole[name].help.strip().splitlines()[0] == text, name
        callback = whole[name].callback
        assert callback is None or callback.__module__ == f"streams.cli.{module}"


@pytest.mark.parametrize(
    "words",
    [["replay", "--topic", "catalog.items", "--into", "g-other"], ["index", "build", "g-other"]],
    ids=["replay", "build"],
)
def test_a_replay_steps_aside_before_it_imports_anything(words):
    """Its imports alone are a second of a core, which queries beside it would wait for."""
    aside = "import os\ndef nice(by):\n    sys.modules['aside'] = os\n    raise SystemExit(by)\nos.nice = nice\n"
    found = loaded(aside + calling(*words))
    assert "aside" in found
    assert not found & (COMPUTING | SERVING | {"streams.ops.generations.replay"})
