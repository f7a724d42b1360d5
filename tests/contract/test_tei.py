"""``POST /models/{id}/predict`` as text-embeddings-inference answers it."""

import httpx2
import pytest

pytestmark = pytest.mark.xdist_group("contract")

TEXT, OTHER = "the cat sat on the mat", "a dog ran"


def post(endpoints, inputs, *, name="pairs", **more):
    return httpx2.post(f"{endpoints.url(name)}/predict", json={"inputs": inputs, **more}, timeout=60)


def predicted(endpoints, inputs, **parameters):
    body = {"model": endpoints.models["pairs"].id, "inputs": inputs, "parameters": parameters}
    rows = httpx2.post(f"{endpoints.base}/predict", json=body, timeout=60).raise_for_status().json()["predictions"]
    return [[{**item, "score": pytest.approx(item["score"], abs=1e-5)} for item in row] for row in rows]


def test_a_text_a_pair_and_a_batch_of_both(endpoints):
    pair = {"text": TEXT, "text_pair": OTHER}
    single, double = predicted(endpoints, [TEXT, pair])
    assert post(endpoints, TEXT).json() == single
    assert post(endpoints, [TEXT]).json() == single
    assert post(endpoints, [TEXT, OTHER]).json() == double
    assert post(endpoints, [[TEXT], [TEXT, OTHER]]).json() == [single, double]
    assert post(endpoints, [[TEXT, OTHER]]).json() == [double]
    (raw,) = predicted(endpoints, TEXT, function_to_apply="none")
    assert post(endpoints, TEXT, raw_scores=True).json() == raw


def test_scores_come_best_first_and_times_in_whole_milliseconds(endpoints):
    answer = post(endpoints, [TEXT, OTHER], truncate=None, truncation_direction="Right")
    found = [item["score"] for item in answer.json()]
    assert found == sorted(found, reverse=True)
    milliseconds = {
        name: int(answer.headers[f"x-{name}-time"]) for name in ("total", "tokenization", "queue", "inference")
    }
    assert milliseconds["total"] + 1 >= milliseconds["inference"] >= 0
    assert int(answer.headers["x-compute-tokens"]) == 12


def test_a_text_that_may_not_be_cut_is_refused(endpoints):
    long = "never " * 99
    assert len(post(endpoints, long).json()) == len(post(endpoints, long, truncate=True).json()) == 3
    assert len(post(endpoints, "never " * 30, truncate=False).json()) == 3
    for inputs, param in ((long, "inputs"), ([["a"], [long]], "inputs[1]")):
        refused = post(endpoints, inputs, truncate=False)
        assert (refused.status_code, refused.json()["error_type"], refused.json()["param"]) == (
            422,
            "Validation",
            param,
        )
        assert "at most 32 tokens" in refused.json()["error"]


@pytest.mark.parametrize(
    ("inputs", "more", "status", "error_type", "code"),
    [
        ([], {}, 400, "Empty", "empty_inputs"),
        (["a", "b", "c"], {}, 422, "Validation", "invalid_value"),
        ([["a"], "b"], {}, 422, "Validation", "invalid_value"),
        ([["a"], []], {}, 422, "Validation", "invalid_value"),
        ({"text": "a"}, {}, 422, "Validation", "invalid_value"),
        ([["a"]] * 65, {}, 422, "Validation", "too_many_inputs"),
        ("a", {"truncation_direction": "Left"}, 422, "Validation", "invalid_value"),
        ("a", {"parameters": {}}, 422, "Validation", "unknown_parameter"),
    ],
)
def test_what_is_wrong_has_a_kind_and_a_sentence(endpoints, inputs, more, status, error_type, code):
    refused = post(endpoints, inputs, **more)
    body = refused.json()
    assert (refused.status_code, body["error_type"], body["code"]) == (status, error_type, code)
    assert isinstance(body["error"], str)
    assert refused.headers["x-request-id"]


def test_a_model_that_does_not_classify_is_the_backends_fault_and_one_that_is_not_there_is_not_found(endpoints):
    refused = post(endpoints, "a", name="tagger")
    assert (refused.status_code, refused.json()["error_type"]) == (424, "Backend")
    assert "token-classification" in refused.json()["error"]
    gone = httpx2.post(f"{endpoints.base}/models/ftjob-nope/predict", json={"inputs": "a"})
    assert (gone.status_code, gone.json()["error_type"]) == (404, "Validation")


def test_a_second_text_for_a_model_of_single_texts_is_refused(endpoints):
    refused = post(endpoints, ["a", "b"], name="stars")
    assert (refused.status_code, refused.json()["error_type"]) == (422, "Validation")


def test_a_key_is_asked_for(keyed):
    refused = post(keyed, "a")
    assert (refused.status_code, refused.json()["code"]) == (401, "missing_api_key")
