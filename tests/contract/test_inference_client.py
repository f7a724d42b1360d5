"""``huggingface_hub.InferenceClient(model=URL)``, the real one, against a running server. What is right is what ``POST /predict`` answers."""

import asyncio
from dataclasses import asdict

import httpx2
import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient, InferenceTimeoutError
from huggingface_hub.errors import HfHubHTTPError, IncompleteGenerationError

from tests.contract.conftest import KEY
from tests.contract.endpoints import CONTEXT

pytestmark = pytest.mark.xdist_group("contract")

TEXT = "the cat sat on the mat under a red tree"
MESSAGES = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "Grüße"}]
LONG = 4000


def client(endpoints, name, **options):
    return InferenceClient(model=endpoints.url(name), provider="hf-inference", **options)


def predicted(endpoints, name, inputs, **parameters):
    body = {"model": endpoints.models[name].id, "inputs": inputs, "parameters": parameters}
    return httpx2.post(f"{endpoints.base}/predict", json=body, timeout=60).raise_for_status().json()


def scores(found):
    return {item["label"]: pytest.approx(item["score"], abs=1e-5) for item in found}


def post(endpoints, name, body, **options):
    return httpx2.post(endpoints.url(name), json=body, timeout=60, **options)


@pytest.mark.parametrize("name", ["pairs", "tags", "stars"])
def test_text_classification_gives_every_label_best_first(endpoints, name):
    (expected,) = predicted(endpoints, name, TEXT)["predictions"]
    found = client(endpoints, name).text_classification(TEXT)
    assert {item.label: item.score for item in found} == scores(expected)
    assert [item.score for item in found] == sorted((item.score for item in found), reverse=True)


def test_parameters_of_classification_are_those_of_predict(endpoints):
    (expected,) = predicted(endpoints, "pairs", TEXT, function_to_apply="none", top_k=2)["predictions"]
    found = client(endpoints, "pairs").text_classification(TEXT, top_k=2, function_to_apply="none")
    assert {item.label: item.score for item in found} == scores(expected)
    assert len(found) == 2


def test_a_classifier_answers_nested_lists_and_takes_pairs(endpoints):
    pair = {"text": TEXT, "text_pair": "a dog ran"}
    expected = [scores(row) for row in predicted(endpoints, "pairs", [pair, TEXT])["predictions"]]
    for inputs, rows in ((pair, expected[:1]), (TEXT, expected[1:]), ([pair, TEXT], expected)):
        answer = post(endpoints, "pairs", {"inputs": inputs}).json()
        assert [{item["label"]: item["score"] for item in row} for row in answer] == rows


@pytest.mark.parametrize("by", ["id", "job_id"])
def test_a_model_is_named_by_its_id_its_job_and_its_checkpoint(endpoints, by):
    url = endpoints.url("pairs", by=by)
    (expected,) = predicted(endpoints, "pairs", TEXT)["predictions"]
    for name in (url, url.replace("%3A", ":"), f"{endpoints.url('pairs')}%3Ackpt-step-80"):
        found = InferenceClient(model=name).text_classification(TEXT)
        assert {item.label: item.score for item in found} == scores(expected)


@pytest.mark.parametrize("strategy", [None, "simple", "first"])
def test_token_classification_gives_whole_entities(endpoints, strategy):
    (expected,) = predicted(endpoints, "tagger", TEXT)["predictions"]
    found = client(endpoints, "tagger").token_classification(TEXT, aggregation_strategy=strategy)
    assert [(e.entity_group, e.word, e.start, e.end) for e in found] == [
        (e["entity_group"], e["word"], e["start"], e["end"]) for e in expected
    ]
    assert {e.entity_group for e in found} == {"animal", "place"}
    ignoring = client(endpoints, "tagger").token_classification(TEXT, ignore_labels=["O", "animal"])
    assert [e.start for e in ignoring] == [e.start for e in found if e.entity_group == "place"]
    rows = post(endpoints, "tagger", {"inputs": [TEXT, "a dog"]}).json()
    assert [e["start"] for e in rows[0]] == [e.start for e in found]
    assert len(rows) == 2


def test_question_answering_gives_one_answer_or_several(endpoints):
    question = {"question": "a dog?", "context": CONTEXT}
    (expected,) = predicted(endpoints, "reader", question, top_k=3)["predictions"]
    best = client(endpoints, "reader").question_answering(**question)
    several = client(endpoints, "reader").question_answering(**question, top_k=3, max_answer_len=30)
    assert [(a.answer, a.start, a.end) for a in several] == [(a["answer"], a["start"], a["end"]) for a in expected]
    assert (best.answer, best.score) == (several[0].answer, pytest.approx(several[0].score))
    assert CONTEXT[best.start : best.end] == best.answer != ""
    rows = post(endpoints, "reader", {"inputs": [question, question]}).json()
    assert [row["answer"] for row in rows] == [best.answer] * 2


def test_generated_text_plain_with_details_and_as_it_comes(endpoints):
    writer = client(endpoints, "writer")
    answer = predicted(endpoints, "writer", "Grüße", max_new_tokens=12)
    ((expected,),), read = answer["predictions"], answer["usage"]["tokens"] - 12
    assert writer.text_generation("Grüße", max_new_tokens=12) == expected["generated_text"]
    assert writer.text_generation("Grüße", max_new_tokens=12, return_full_text=True) == (
        "Grüße" + expected["generated_text"]
    )
    whole = writer.text_generation("Grüße", max_new_tokens=12, details=True, seed=7)
    assert whole.generated_text == expected["generated_text"]
    assert (whole.details.finish_reason, whole.details.generated_tokens, whole.details.seed) == ("length", 12, 7)
    assert "".join(token.text for token in whole.details.tokens) == expected["generated_text"]
    assert "".join(writer.text_generation("Grüße", max_new_tokens=12, stream=True)) == expected["generated_text"]
    *before, last = writer.text_generation("Grüße", max_new_tokens=12, stream=True, details=True)
    assert [event.token for event in [*before, last]] == [
        type(last.token)(**{**asdict(token), "logprob": pytest.approx(token.logprob, abs=1e-4)})
        for token in whole.details.tokens
    ]
    assert [event.index for event in [*before, last]] == list(range(1, 13))
    assert {event.generated_text for event in before} == {None}
    assert last.generated_text == expected["generated_text"]
    assert (last.details.finish_reason, last.details.generated_tokens, last.details.input_length) == (
        "length",
        12,
        read,
    )


def test_what_ends_a_text_is_told(endpoints):
    writer = client(endpoints, "writer")
    text = writer.text_generation("Grüße", max_new_tokens=40)
    stop = text[10:12]
    stopped = writer.text_generation("Grüße", max_new_tokens=40, stop=[stop], details=True)
    assert stopped.details.finish_reason == "stop_sequence"
    assert stopped.generated_text == text[: text.index(stop)]
    old = post(endpoints, "writer", {"inputs": "Grüße", "parameters": {"max_new_tokens": 40, "stop_sequences": [stop]}})
    assert old.json() == [{"generated_text": stopped.generated_text}]


def test_a_temperature_means_that_tokens_are_drawn(endpoints):
    writer = client(endpoints, "writer")
    greedy = writer.text_generation("Grüße", max_new_tokens=12)
    settings = {"temperature": 0.9, "top_k": 40, "top_p": 0.95, "repetition_penalty": 1.1, "max_new_tokens": 12}
    drawn = {writer.text_generation("Grüße", seed=seed, **settings) for seed in (1, 1, 2, 3)}
    ours = predicted(endpoints, "writer", "Grüße", seed=1, do_sample=True, **settings)["predictions"][0][0]
    assert len(drawn) == 3
    assert ours["generated_text"] in drawn
    assert writer.text_generation("Grüße", do_sample=False, seed=1, temperature=0.9, max_new_tokens=12) == greedy


def test_an_encoder_decoder_summarizes_translates_and_generates(endpoints):
    translator = client(endpoints, "translator")
    ((expected,),) = predicted(endpoints, "translator", "one two", max_new_tokens=4)["predictions"]
    parameters = {"max_new_tokens": 4}
    assert (
        translator.summarization("one two", generate_parameters=parameters).summary_text == (expected["generated_text"])
    )
    assert (
        translator.translation("one two", generate_parameters=parameters).translation_text
        == (expected["generated_text"])
    )
    assert translator.text_generation("one two", **parameters) == expected["generated_text"] != ""


def test_a_chat_goes_on_whole_and_in_chunks(endpoints):
    chatter = client(endpoints, "chatter")
    ((expected,),) = predicted(endpoints, "chatter", {"messages": MESSAGES}, max_new_tokens=12)["predictions"]
    whole = chatter.chat_completion(MESSAGES, max_tokens=12)
    assert whole.choices[0].message.content == expected["generated_text"]
    assert (whole.choices[0].finish_reason, whole.model) == ("length", endpoints.models["chatter"].id)
    assert whole.usage.completion_tokens == 12
    assert whole.usage.prompt_tokens + 12 == whole.usage.total_tokens
    *chunks, last, usage = chatter.chat_completion(
        MESSAGES, max_tokens=12, temperature=0, stream=True, stream_options={"include_usage": True}
    )
    assert "".join(chunk.choices[0].delta.content for chunk in chunks) == expected["generated_text"]
    assert {chunk.choices[0].finish_reason for chunk in chunks} == {None}
    assert last.choices[0].finish_reason == "length"
    assert asdict(usage.usage) == asdict(whole.usage)
    parts = [{**message, "content": [{"type": "text", "text": message["content"]}]} for message in MESSAGES]
    drawn = chatter.chat_completion(parts, max_tokens=12, temperature=0.9, seed=3).choices[0].message.content
    assert drawn != expected["generated_text"]
    assert chatter.chat_completion(MESSAGES, max_tokens=12, top_p=0.99, seed=3, temperature=0.9).choices


def test_the_asynchronous_client_reads_the_same(endpoints):
    async def talk():
        classifier = AsyncInferenceClient(model=endpoints.url("pairs"))
        writer = AsyncInferenceClient(model=endpoints.url("writer"))
        found = await classifier.text_classification(TEXT)
        pieces = [piece async for piece in await writer.text_generation("a", max_new_tokens=5, stream=True)]
        with pytest.raises(HfHubHTTPError, match="the model reads and writes 4,096 together"):
            await writer.text_generation("x" * 5000, stream=True)
        return found, "".join(pieces), await writer.text_generation("a", max_new_tokens=5)

    found, streamed, whole = asyncio.run(talk())
    assert {item.label: item.score for item in found} == scores(predicted(endpoints, "pairs", TEXT)["predictions"][0])
    assert streamed == whole


def test_an_endpoint_tells_what_may_be_asked_of_it(endpoints):
    about = client(endpoints, "pairs").get_endpoint_info()
    assert about["model_id"] == endpoints.models["pairs"].id
    assert (about["model_pipeline_tag"], about["model_dtype"], about["max_input_length"]) == (
        "text-classification",
        "float32",
        32,
    )
    labels = {"0": "negative", "1": "neutral", "2": "positive"}
    assert about["model_type"]["classifier"]["id2label"] == labels
    assert about["max_client_batch_size"] == 64
    assert client(endpoints, "writer").get_endpoint_info()["max_input_length"] is None
    assert client(endpoints, "pairs").health_check() is True
    assert not InferenceClient(provider="hf-inference").health_check(model=f"{endpoints.base}/models/ftjob-nope")


@pytest.mark.parametrize(
    ("name", "ask", "status", "message"),
    [
        ("tagger", lambda c: c.token_classification("a", aggregation_strategy="none"), 422, "ask for simple or first"),
        ("tagger", lambda c: c.token_classification("a", ignore_labels=["place"]), 422, "must hold 'O'"),
        ("tagger", lambda c: c.token_classification("a", stride=4), 422, "parameters.stride: unknown parameter"),
        ("pairs", lambda c: c.text_generation("a", details=True), 422, "made for text-classification takes no such setting"),
        ("writer", lambda c: c.text_generation("a", grammar={"type": "json"}), 422, "parameters.grammar"),
        ("writer", lambda c: c.text_generation("a", best_of=3), 422, "parameters.best_of"),
        ("writer", lambda c: c.text_generation("x" * 5000, details=True), 422, "4,096 together"),
        ("writer", lambda c: c.chat_completion(MESSAGES), 422, "was not tuned on chats"),
        ("chatter", lambda c: c.chat_completion(MESSAGES, tools=[]), 422, "tools: unknown parameter"),
        ("reader", lambda c: c.question_answering(question="a", context=" "), 422, "send {question, context}"),
        ("translator", lambda c: c.summarization("a", generate_parameters={"top": 1}), 422, "generate_parameters.top"),
        ("translator", lambda c: c.text_generation("a", stream=True), 422, "come whole"),
    ],
)  # fmt: skip
def test_what_can_not_be_honoured_is_refused_in_words(endpoints, name, ask, status, message):
    with pytest.raises(HfHubHTTPError, match=message) as caught:
        ask(client(endpoints, name))
    assert caught.value.response.status_code == status
    assert isinstance(caught.value.response.json()["error"], str)
    assert caught.value.request_id.startswith("req_")


def test_messages_are_for_models_of_chats(endpoints):
    body = {"inputs": {"messages": MESSAGES}, "parameters": {"max_new_tokens": 12}}
    whole = client(endpoints, "chatter").chat_completion(MESSAGES, max_tokens=12).choices[0].message.content
    assert post(endpoints, "chatter", body).json() == [{"generated_text": whole}]
    refused = post(endpoints, "writer", body)
    assert (refused.status_code, refused.json()["param"]) == (422, "inputs[0].messages")


def test_what_is_not_set_or_only_a_hint_changes_nothing(endpoints):
    parameters = {"top_k": None, "grammar": None, "watermark": False, "best_of": 1, "details": False}
    options = {"use_cache": False, "wait_for_model": True}
    answer = post(
        endpoints,
        "pairs",
        {"inputs": TEXT, "parameters": parameters, "options": options, "stream": False, "model": "x"},
    )
    assert answer.json() == post(endpoints, "pairs", {"inputs": TEXT, "parameters": None}).json()
    assert float(answer.headers["x-total-time"]) >= float(answer.headers["x-inference-time"])


@pytest.mark.parametrize("name", ["ftjob-nope", "a%2F..%2Fb", "nobody%2Fnothing"])
def test_a_model_that_is_not_there_is_told_in_words(endpoints, name):
    with pytest.raises(HfHubHTTPError) as caught:
        InferenceClient(model=f"{endpoints.base}/models/{name}").text_classification("a")
    assert caught.value.response.status_code in {404, 422}
    assert caught.value.response.json()["param"] == "model"


def test_a_key_is_asked_for_and_is_the_clients_token(keyed):
    (item, *_) = client(keyed, "pairs", token=KEY).text_classification(TEXT)
    assert item.label
    assert client(keyed, "pairs", token=KEY).health_check()
    with pytest.raises(HfHubHTTPError, match="The API key is not valid") as caught:
        client(keyed, "pairs", token="wrong").text_classification(TEXT)
    assert caught.value.response.status_code == 401
    assert not client(keyed, "pairs", token="wrong").health_check()
    assert httpx2.post(keyed.url("pairs"), json={"inputs": TEXT}).json()["code"] == "missing_api_key"


def test_a_text_that_takes_too_long_is_unavailable_and_says_when_to_come_back(keyed):
    with pytest.raises(HfHubHTTPError, match="did not answer within 1 second") as caught:
        client(keyed, "writer", token=KEY).text_generation("a", max_new_tokens=LONG)
    assert caught.value.response.status_code == 503
    assert int(caught.value.response.headers["retry-after"]) >= 1


def test_a_stream_that_breaks_off_says_why(keyed):
    writer, told = client(keyed, "writer", token=KEY), []  # a client that is forgotten closes its streams

    def read():
        for piece in writer.text_generation("a", max_new_tokens=LONG, stream=True):
            told.append(piece)  # noqa: PERF402  those before the error are wanted

    with pytest.raises(IncompleteGenerationError, match="did not answer within 1 second"):
        read()
    whole = writer.text_generation("a", max_new_tokens=20)
    assert len(told) > 20
    assert "".join(told).startswith(whole.rstrip("\ufffd"))


def test_a_client_that_does_not_want_to_wait_need_not(endpoints):
    with pytest.raises(InferenceTimeoutError):
        client(endpoints, "writer", timeout=0.3).text_generation("a", max_new_tokens=LONG)


def test_a_web_page_of_another_origin_and_other_bodies_are_refused(endpoints):
    foreign = post(endpoints, "pairs", {"inputs": "a"}, headers={"origin": "https://evil.example"})
    assert (foreign.status_code, foreign.json()["code"]) == (403, "origin_not_allowed")
    form = httpx2.post(endpoints.url("pairs"), content="inputs=a", headers={"content-type": "text/plain"})
    assert (form.status_code, form.json()["code"]) == (422, "unsupported_content_type")
    assert isinstance(form.json()["error"], str)
    parts = httpx2.post(endpoints.url("pairs"), files={"inputs": ("a.txt", b"a")})
    assert (parts.status_code, parts.json()["code"]) == (422, "unsupported_content_type")
