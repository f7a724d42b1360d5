"""Row A5 of the fault matrix: models that try to run code or to read what is not theirs are refused or harmless."""

import json
import pickle
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.decoder import tokenizer_of
from tests.hub.builders import bert_folder
from tests.hub.fixtures import hub_environment
from tests.trainer.test_refusals import run_for
from worker.predictor.prompts import PromptError, write_prompt

CANARY = "canary-of-the-server"


class _Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


@pytest.fixture
def ran(tmp_path):
    """A file that is there once code of a model has run."""
    path = tmp_path / "code-was-run"
    yield path
    assert not path.exists()


def changed(folder: Path, file: str, **more: object) -> Path:
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | more))
    return folder


def code_that_makes(path: Path) -> str:
    return f"open({str(path)!r}, 'w').close()\nclass Evil: pass\n"


@pytest.fixture
def evil(tmp_path, ran) -> dict[str, Path]:
    """By its name on the hub: a model that tries something."""
    made = {
        name: bert_folder(tmp_path / "evil" / name) for name in ("code", "tokenizer-code", "kernel", "weights", "deep")
    }
    changed(made["code"], "config.json", auto_map=dict.fromkeys(("AutoConfig", "AutoModel"), "m.Evil"))
    changed(made["tokenizer-code"], "tokenizer_config.json", auto_map={"AutoTokenizer": ["m.Evil", "m.Evil"]})
    changed(made["kernel"], "config.json", attn_implementation="someone/evil-kernel")
    changed(made["weights"], "config.json", transformers_weights="../../canary.safetensors")
    nested: dict[str, object] = {"auto_map": {"AutoModel": "m.Evil"}}
    for _ in range(6):
        nested = {"deeper": [nested]}
    changed(made["deep"], "config.json", text_config=nested)
    for folder in made.values():
        (folder / "m.py").write_text(code_that_makes(ran))
    pickled = made["pickled"] = bert_folder(tmp_path / "evil/pickled")
    (pickled / "model.safetensors").unlink()
    torch.save({"weights": _Bomb(ran)}, pickled / "pytorch_model.bin")
    assert pickle.PROTO in (pickled / "pytorch_model.bin").read_bytes()
    return made


LOAD = """
import json, sys
from pathlib import Path
from app.errors import ServiceError
from app.spec.run import RUN
from tests.trainer.conftest import Recorder, task_for
from worker.trainer import base_model

def code_of(path):
    run = RUN.validate_json(Path(path).read_bytes())
    try:
        base = base_model.find(run)
        base.tokenizer.save_pretrained(Path(path).parent / "published")
        task = task_for("single_label_classification", num_outputs=2)
        base_model.load_model(base, task, first_logits=None, seed=1, report=Recorder(lambda message: None))
    except ServiceError as error:
        return error.code
    return None

print(json.dumps([code_of(path) for path in sys.argv[1:]]))
"""


def load(lab: Any, names: Iterable[str]) -> dict[str, str | None]:
    """What a trainer says of each model of the hub, in a process of its own: the libraries remember the first hub they ask."""
    paths = []
    for name in names:
        run = run_for(lab, f"evil/{name}")
        paths.append(lab.home / f"{name}-{len(paths)}" / "run.json")
        paths[-1].parent.mkdir()
        paths[-1].write_text(run.model_dump_json())
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *map(str, paths)],
        env=hub_environment(), cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(zip(names, json.loads(done.stdout.splitlines()[-1]), strict=True))


def test_models_of_the_hub_that_the_api_could_not_look_at_are_refused_by_the_trainer(lab, fake_hub, evil, tmp_path):
    secret = tmp_path / "canary.txt"
    secret.write_text(f"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n{CANARY}\n")
    reader = evil["reads-a-file"] = bert_folder(tmp_path / "evil/reads-a-file")
    named = {"vocab_file": str(secret), "tokenizer_file": str(secret), "added_tokens_file": str(secret)}
    changed(reader, "tokenizer_config.json", **named)
    for name, folder in evil.items():
        fake_hub.add_model(f"evil/{name}", folder)
    found = load(lab, list(evil))
    found.pop("reads-a-file")  # whether it is taken or not, it does not get what it names
    assert found == {
        "pickled": "model_not_safetensors",
        "code": "model_has_remote_code",
        "tokenizer-code": "model_has_remote_code",
        "deep": "model_has_remote_code",
        "kernel": "model_config_unsafe",
        "weights": "model_config_unsafe",
    }
    assert list(lab.home.rglob("published/tokenizer.json")), "those that pass are looked at"
    files = [path for path in lab.home.rglob("*") if path.is_file() and path != secret]
    assert not [path for path in files if CANARY in path.read_text(errors="replace")]


ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ cycler.__init__.__globals__.os.popen('touch PATH').read() }}",
    "{{ self.__init__.__globals__.__builtins__.open('PATH', 'w') }}",
    "{{ messages.__class__.__base__ }}{{ lipsum.__globals__['os'].system('touch PATH') }}",
    "{% set x = namespace.__init__.__globals__ %}{{ x['__builtins__']['open']('PATH', 'w') }}",
    "{% import 'os' as os %}{{ os.system('touch PATH') }}",
    "{% include '/etc/passwd' %}",
    "{{ messages.append({'role': 'user'}) }}{{ strftime_now.__globals__['sys'].modules['os'].system('touch PATH') }}",
]


@pytest.mark.parametrize("template", ESCAPES)
def test_a_chat_template_cannot_leave_its_sandbox(template, ran):
    tokenizer = tokenizer_of(template=template.replace("PATH", str(ran)))
    with pytest.raises(PromptError):
        write_prompt("one two", None, prompt_format="chat", tokenizer=tokenizer)


def test_a_good_template_is_written_by():
    tokenizer = tokenizer_of(template="{% for m in messages %}<user> {{ m['content'] }} {% endfor %}")
    written = write_prompt("one two", None, prompt_format="chat", tokenizer=tokenizer)
    assert written == "<user> one two "
