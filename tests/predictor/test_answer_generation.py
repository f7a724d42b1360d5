"""Answers of an encoder-decoder: those of a request together, ended as asked, and not as the base model was set up."""

import json
import shutil

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from app import manifest
from app.prediction.schemas import PredictParameters
from app.prediction.wire import Sampling
from app.spec.serving import SERVING_FILE, ServingSpec
from tests.encoder_decoder import WORDS, build_encoder_decoder
from tests.predictor.tiny_models import TinyModel
from worker.predictor.engine import LoadedModel

SOURCES = ["one", "two three four five six seven", "eight nine", " ".join(WORDS[:17])]
BEAMS = {"num_beams": 4, "min_length": 12, "no_repeat_ngram_size": 2, "length_penalty": 2.0, "early_stopping": True}


def sealed(folder, *, kind="bart", settings=None, **changes):
    """A servable model of random weights; ``settings`` go into its generation configuration."""
    build_encoder_decoder(folder, kind, **changes)
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | (settings or {})))
    spec = ServingSpec(
        task="text2text-generation", problem_type="sequence_to_sequence", base_model="tiny", labels=[],
        text_fields=["source"], max_length=16, precision="float32",
    )  # fmt: skip
    (folder / SERVING_FILE).write_text(spec.model_dump_json())
    digest = manifest.seal(folder, about={}).sha256
    return TinyModel(id=f"ft:tiny:org:{folder.name}:job", folder=folder, manifest_sha256=digest)


@pytest.fixture(scope="module", params=["t5", "bart"])
def folder(request, tmp_path_factory):
    changes = {"initializer_factor": 1.5} if request.param == "t5" else {}
    return sealed(tmp_path_factory.mktemp("tiny") / request.param, kind=request.param, **changes).folder


def answers_of(folder, *sources, **sampling):
    model = LoadedModel.load(folder)
    return model.generate(model.encode([(source, None) for source in sources]), Sampling(**sampling), stopped=bool)


def test_answers_are_those_of_transformers_and_the_same_together_as_alone(folder):
    together = answers_of(folder, *SOURCES, max_new_tokens=9)
    assert together == [answers_of(folder, source, max_new_tokens=9)[0] for source in SOURCES]
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    for source, found in zip(SOURCES, together, strict=True):
        ids = tokenizer(source, truncation=True, max_length=16, return_tensors="pt")["input_ids"]
        written = model.generate(
            input_ids=ids, max_new_tokens=9, do_sample=False, forced_eos_token_id=None, suppress_tokens=None
        )[0]
        assert found.text == tokenizer.decode(written, skip_special_tokens=True)
    assert len({found.text for found in together}) > 1


def test_how_the_base_model_wrote_changes_nothing(folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "other")
    path = other / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | BEAMS))
    (other / manifest.MANIFEST).unlink()
    manifest.seal(other, about={})
    assert answers_of(other, *SOURCES, max_new_tokens=9) == answers_of(folder, *SOURCES, max_new_tokens=9)


def test_tokens_that_the_model_never_writes_are_not_written(folder, tmp_path):
    """Marian's padding token begins its answers and is forbidden in them."""
    (before,) = answers_of(folder, "one", max_new_tokens=5)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    first = tokenizer(before.text)["input_ids"][0]
    other = shutil.copytree(folder, tmp_path / "other")
    path = other / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"bad_words_ids": [[first]]}))
    (other / manifest.MANIFEST).unlink()
    manifest.seal(other, about={})
    (after,) = answers_of(other, "one", max_new_tokens=5)
    assert tokenizer.convert_ids_to_tokens(first) not in after.text.split()


def test_they_end_at_a_length_or_a_text(folder):
    (whole,) = answers_of(folder, "one", max_new_tokens=12)
    words = whole.text.split()
    assert len(words) > 3
    (cut,) = answers_of(folder, "one", max_new_tokens=2)
    assert (cut.finish_reason, cut.num_tokens, cut.text.split()) == ("length", 2, words[:2])
    stop = next(word for word in words if word != words[0])
    (stopped,) = answers_of(folder, "one", max_new_tokens=12, stop=[stop])
    assert (stopped.finish_reason, stop in stopped.text, stopped.text.split()[:1]) == ("stop", False, words[:1])


def test_one_that_ends_itself_says_so_and_the_end_is_counted(tmp_path):
    found = sealed(tmp_path / "ends", kind="bart")
    model = AutoModelForSeq2SeqLM.from_pretrained(found.folder)
    with torch.no_grad():
        model.final_logits_bias[0, 1] = 1e4
    model.save_pretrained(found.folder)
    (found.folder / manifest.MANIFEST).unlink()
    manifest.seal(found.folder, about={})
    (answer,) = answers_of(found.folder, "one", max_new_tokens=5)
    assert (answer.text, answer.num_tokens, answer.finish_reason) == ("", 1, "stop")


def test_there_is_no_room_behind_the_last_position(tmp_path):
    found = sealed(tmp_path / "short", kind="bart", max_position_embeddings=16)
    written = [answer.num_tokens for answer in answers_of(found.folder, *SOURCES, max_new_tokens=400)]
    assert max(written) == 16


def test_the_same_seed_draws_the_same_answer(folder):
    drawn = [
        answers_of(folder, "one", max_new_tokens=12, do_sample=True, temperature=3.0, seed=seed)[0].text
        for seed in (1, 1, 2, 3)
    ]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 1


def test_nobody_waits_any_more(folder):
    model = LoadedModel.load(folder)
    (answer,) = model.generate(model.encode([("one", None)]), Sampling(max_new_tokens=50), stopped=lambda: True)
    assert answer.num_tokens == 1


def test_it_is_asked_as_other_models_that_generate_are(ask, home):
    model = sealed(home / "artefacts" / "models" / "writes")
    expected = answers_of(model.folder, *SOURCES, max_new_tokens=4)

    def put(*texts):
        inputs, asked = [(text, None) for text in texts], PredictParameters(max_new_tokens=4)
        return ask(lambda client: client.predict(inputs, parameters=asked, **model.question()))

    answer = put(*SOURCES)
    assert answer.texts == expected
    assert answer.truncated == [False, False, False, True]
