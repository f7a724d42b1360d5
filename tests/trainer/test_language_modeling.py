"""Text generation: from texts, prompts and chats to a model that is measured and asked as it was trained."""

import json
import math
import random
import shutil

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, XLNetConfig, XLNetLMHeadModel

from app.errors import InvalidData, InvalidModel, InvalidRequest
from app.prediction.wire import Sampling
from app.spec.messages import LogMessage, ResolvedMessage
from app.spec.run import ExitCode
from tests.decoder import WORDS, build_decoder, tokenizer_of
from tests.trainer.conftest import Lab, write_jsonl
from worker.predictor.engine import LoadedModel
from worker.predictor.prompts import write_example
from worker.trainer.adapters import FOLDER
from worker.trainer.language_tokens import tokenize_texts

TEMPLATE = (
    "{% for m in messages %}{{ '<user> ' if m.role == 'user' else '<assistant> ' }}{{ m.content }}"
    "{{ '</s> ' if m.role == 'assistant' else ' ' }}{% endfor %}{{ '<assistant> ' if add_generation_prompt else '' }}"
)
LEARNS = {"num_train_epochs": 8, "learning_rate": 1e-2, "eval_strategy": "no", "save_strategy": "no"}
TEXT = {"task": "text-generation"}


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    """Makes a small decoder, with a chat template if asked for."""

    def make(*, template=None):
        return build_decoder(tmp_path_factory.mktemp("tiny-llama"), template=template)

    return make


def counting(count, *, seed):
    """Runs of numbers upwards, which are easily continued."""
    chooser = random.Random(seed)
    rows = []
    for _ in range(count):
        start = chooser.randrange(7)
        rows.append({"text": " ".join(WORDS[start : start + chooser.randint(3, 10 - start)])})
    return rows


def colours(count, *, seed):
    chooser = random.Random(seed)
    answers = {"one": " red", "two": " green", "three": " blue"}
    return [
        {"prompt": f"{n} {chooser.choice(WORDS[3:8])} is", "completion": answers[n]}
        for n in chooser.choices(list(answers), k=count)
    ]


@pytest.fixture
def writer(tmp_path, decoder):
    """A lab for data of one kind."""

    def make(rows, *, template=None):
        lab = Lab(tmp_path, model=decoder(template=template))
        lab.files = {
            "train": write_jsonl(tmp_path / "texts.jsonl", rows(120, seed=0)),
            "validation": write_jsonl(tmp_path / "more.jsonl", rows(30, seed=1)),
        }
        return lab

    return make


def ask(folder, *prompts, **sampling):
    model = LoadedModel.load(folder)
    return model.generate(model.encode([(prompt, None) for prompt in prompts]), Sampling(**sampling), stopped=bool)


def test_texts_are_learned_and_continued(writer):
    attempt = writer(counting).run(**LEARNS, spec=TEXT)
    result, spec = attempt.result, attempt.all_of(ResolvedMessage)[-1].spec
    assert (spec.task, spec.prompt_format, spec.metrics) == ("text-generation", "plain", ["perplexity", "accuracy"])
    assert any("without padding" in message.message for message in attempt.all_of(LogMessage))
    assert result.metrics["eval/perplexity"] == pytest.approx(math.exp(result.metrics["eval/loss"]))
    assert result.metrics["eval/perplexity"] < 0.5 * result.report["unigram_baseline"]["perplexity"]
    (found,) = ask(attempt.folder / "model", "two three four", max_new_tokens=3)
    assert found.text.split()[:1] == ["five"]
    theirs = AutoModelForCausalLM.from_pretrained(attempt.folder / "model")
    tokenizer = AutoTokenizer.from_pretrained(attempt.folder / "model")
    ids = tokenizer("two three four", return_tensors="pt", return_token_type_ids=False)
    expected = theirs.generate(**ids, max_new_tokens=3, do_sample=False)[0]
    assert tokenizer.decode(expected, skip_special_tokens=True) == "two three four" + found.text


def test_the_loss_is_that_of_transformers(writer):
    """Mean over all tokens but the first of each text, the end counted."""
    attempt = writer(counting).run(num_train_epochs=1, spec=TEXT)
    model = AutoModelForCausalLM.from_pretrained(attempt.folder / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(attempt.folder / "model")
    total = count = 0
    for row in counting(30, seed=1):
        ids = torch.tensor([[*tokenizer(row["text"])["input_ids"], tokenizer.eos_token_id]])
        with torch.no_grad():
            total += float(model(input_ids=ids, labels=ids).loss) * (ids.shape[1] - 1)
        count += ids.shape[1] - 1
    assert attempt.result.metrics["eval/loss"] == pytest.approx(total / count, rel=1e-5)
    assert attempt.result.report["num_tokens"] == count


def test_of_a_prompt_only_the_answer_is_learned(writer):
    attempt = writer(colours).run(**LEARNS, spec={"prompt_format": "plain"})
    assert attempt.result.report["num_tokens"] == 2 * 30  # a colour, and the end
    assert attempt.result.metrics["eval/accuracy"] > 0.9
    prompts = [row["prompt"] for row in colours(10, seed=3)]
    answers = [found.text for found in ask(attempt.folder / "model", *prompts, max_new_tokens=5)]
    assert answers == [row["completion"] for row in colours(10, seed=3)]


def test_an_instruction_is_written_between_headings_in_training_and_later(writer):
    attempt = writer(colours).run(num_train_epochs=1)
    assert attempt.all_of(ResolvedMessage)[-1].spec.prompt_format == "instruction"
    tokenizer = tokenizer_of()
    whole, ((start, end),) = write_example("one is", "two", "red", prompt_format="instruction", tokenizer=tokenizer)
    assert whole == "### Instruction:\none is\n\n### Input:\ntwo\n\n### Response:\nred"
    assert whole[start:end] == "red"
    model = LoadedModel.load(attempt.folder / "model")
    (asked,) = model.encode([("one is", "two")])
    assert asked.input_ids == tokenizer(whole[:start])["input_ids"]


def test_chats_are_written_by_the_template_and_the_assistants_turns_are_learned(writer):
    def chats(count, *, seed):
        rows = colours(count, seed=seed)
        return [
            {"messages": [
                {"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]},
                {"role": "user", "content": "and"}, {"role": "assistant", "content": "the"},
            ]} for row in rows
        ]  # fmt: skip

    attempt = writer(chats, template=TEMPLATE).run(**LEARNS)
    assert attempt.all_of(ResolvedMessage)[-1].spec.prompt_format == "chat"
    assert attempt.result.report["num_tokens"] == 4 * 30  # both answers with their ends
    row = chats(1, seed=5)[0]["messages"]
    prompts = [json.dumps({"messages": row[:1]}), row[0]["content"]]
    for found in ask(attempt.folder / "model", *prompts, max_new_tokens=4):
        assert (found.text.strip(), found.finish_reason) == (row[1]["content"].strip(), "stop")


def test_chats_need_a_template(writer):
    def chats(count, *, seed):
        return [{"messages": [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]}] * count

    with pytest.raises(InvalidRequest, match="no chat template"):
        writer(chats).run()


def test_a_chat_without_an_answer_is_refused(writer):
    def chats(count, *, seed):
        return [{"messages": [{"role": "user", "content": "one"}]}] * count

    with pytest.raises(InvalidData, match="without a message of the assistant"):
        writer(chats, template=TEMPLATE).run()


def test_a_long_text_makes_several_examples_and_a_long_answer_is_cut():
    tokenizer, text = tokenizer_of(), " ".join(WORDS[:7])
    blocks = tokenize_texts(tokenizer, [(text, [(0, len(text))])], max_length=3, marks_end=True, in_blocks=True)
    assert blocks.lengths.tolist() == [3, 3, 2]
    assert blocks.words.offsets.tolist() == [0, 2, 4, 5]
    ids = tokenizer(text)["input_ids"]
    assert blocks.labels.tolist() == [ids[1], ids[2], ids[4], ids[5], tokenizer.eos_token_id]
    cut = tokenize_texts(tokenizer, [(text, [(4, len(text))])], max_length=3, marks_end=True, in_blocks=False)
    assert (cut.lengths.tolist(), cut.truncated.tolist(), cut.labels.tolist()) == ([3], [1], ids[1:3])


@pytest.mark.parametrize("bf16", [False, True])
def test_a_stopped_run_ends_with_the_same_weights(writer, bf16):
    options = {"num_train_epochs": 2, "gradient_accumulation_steps": 2, "bf16": bf16, "spec": TEXT}
    lab = writer(counting)
    whole, stopped = lab.run(**options), lab.run_until(5, **options)
    assert stopped.code is ExitCode.DRAINED
    assert lab.run(checkpoints=stopped.checkpoints, **options).weights == whole.weights


def test_a_text_is_learned_with_an_adapter(writer):
    attempt = writer(counting).run(**LEARNS, spec={**TEXT, "adapter": {"r": 8}})
    losses = list(attempt.points("train/loss").values())
    assert losses[-1] < losses[0] - 0.3
    assert (attempt.folder / "model" / FOLDER / "adapter_model.safetensors").is_file()


def test_an_encoder_is_no_model_that_generates(lab, tmp_path):
    lab.files = {"train": write_jsonl(tmp_path / "t.jsonl", counting(10, seed=0))}
    with pytest.raises(InvalidModel, match="cannot be fine-tuned for text-generation"):
        lab.run(spec=TEXT)
    lab.model = shutil.copytree(lab.model, tmp_path / "decoder")
    path = lab.model / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"is_decoder": True}))
    with pytest.raises(InvalidModel, match="lacks"):
        lab.run(spec=TEXT)


def test_what_a_model_says_of_itself_is_not_believed(lab, tmp_path):
    config = XLNetConfig(vocab_size=40, d_model=32, n_layer=1, n_head=2, d_inner=32, is_decoder=True)
    encoder = tmp_path / "encoder"
    XLNetLMHeadModel(config).save_pretrained(encoder)
    for path in lab.model.iterdir():
        if path.name.startswith(("vocab", "tokenizer")):
            (encoder / path.name).write_bytes(path.read_bytes())
    lab.files = {"train": write_jsonl(tmp_path / "t.jsonl", counting(10, seed=0))}
    lab.model = encoder
    with pytest.raises(InvalidModel, match="both directions"):
        lab.run(spec=TEXT)


@pytest.fixture(scope="module")
def counter(tmp_path_factory, decoder):
    """A model that has learned to count."""
    home = tmp_path_factory.mktemp("counter")
    lab = Lab(home, model=decoder())
    lab.files = {"train": write_jsonl(home / "t.jsonl", counting(120, seed=0))}
    return lab.run(**LEARNS, spec=TEXT).folder / "model"


def test_prompts_of_one_request_are_answered_as_they_are_alone(counter):
    prompts = ["two", "three four five", "six seven"]
    together = ask(counter, *prompts, max_new_tokens=4)
    assert together == [ask(counter, prompt, max_new_tokens=4)[0] for prompt in prompts]


def test_it_ends_at_a_stop_text_a_length_or_by_itself(counter):
    (stopped,) = ask(counter, "two three", max_new_tokens=6, stop=["six"])
    assert (stopped.finish_reason, "six" in stopped.text) == ("stop", False)
    (cut,) = ask(counter, "two three", max_new_tokens=2)
    assert (cut.finish_reason, cut.num_tokens) == ("length", 2)
    (ended,) = ask(counter, "eight nine ten", max_new_tokens=40)
    assert (ended.finish_reason, ended.text) == ("stop", "")


def test_the_same_seed_draws_the_same_text(counter):
    drawn = [
        ask(counter, "one", max_new_tokens=12, do_sample=True, temperature=3.0, seed=seed)[0].text
        for seed in (1, 1, 2, 3, 4)
    ]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 1


def test_a_prompt_without_room_for_an_answer_is_refused(counter):
    with pytest.raises(Exception, match="has 64 tokens"):
        ask(counter, " ".join(["one"] * 64))
    (found,) = ask(counter, " ".join(["one"] * 60), max_new_tokens=50)
    assert found.num_tokens <= 4
