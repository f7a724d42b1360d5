"""``tunery sweeps``: what is to vary is understood, and a sweep runs to its end."""

import pytest

from app.cli.errors import CliError
from app.cli.sweeps import parse_values

pytestmark = pytest.mark.xdist_group("cli_stack")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a.b=1e-5..1e-3:log", {"low": 1e-5, "high": 1e-3, "log": True}),
        ("a.b=1..5:1", {"low": 1.0, "high": 5.0, "step": 1.0}),
        ("a.b=0..0.3", {"low": 0.0, "high": 0.3}),
        ("a.b=16,32", {"choices": [16, 32]}),
        ("a.b=linear,cosine", {"choices": ["linear", "cosine"]}),
        ("a.b=true,auto", {"choices": [True, "auto"]}),
        ('a.b=[null, {"type": "lora", "r": 8}]', {"choices": [None, {"type": "lora", "r": 8}]}),
    ],
)
def test_values_are_ranges_or_choices(text, values):
    assert parse_values(text) == ("a.b", values)


@pytest.mark.parametrize("text", ["a.b", "a.b=", "=1,2", "a.b=x..y", "a.b=1..2:lin"])
def test_what_is_neither_is_refused_with_an_example(text):
    with pytest.raises(CliError) as refused:
        parse_values(text)
    assert "--vary training.learning_rate" in refused.value.hint


def test_a_sweep_is_followed_to_its_best_model(tunery, tiny_model, reviews):
    tunery.json("models", "add", "tiny", tiny_model)
    fast = ("--set", "training.num_train_epochs=1", "--set", "training.per_device_train_batch_size=16")
    done = tunery.run(
        *("sweeps", "create", "--model", "tiny", "--train", reviews, "--validation", "0.25", *fast),
        *("--vary", "training.learning_rate=1e-6,1e-2", "--sampler", "grid", "--metadata", "team=nlp", "--follow"),
    )
    [sweep] = tunery.json("sweeps", "ls")["data"]
    assert (sweep["status"], sweep["metadata"], sweep["counts"]["complete"]) == ("succeeded", {"team": "nlp"}, 2)
    for number in range(2):
        assert done.stdout.count(f"trial {number}   complete") == 1
        assert done.stdout.count(f"trial {number}   running") <= 1, "a trial may be over before anyone looks"
    assert f"tunery predict --model {sweep['id']}" in done.stdout
    assert "(the best so far)" in done.stdout
    shown = tunery.json("sweeps", "show", sweep["id"])
    assert [trial["state"] for trial in shown["trials"]] == ["complete"] * 2
    assert sweep["best"]["model"] in tunery.run("sweeps", "show", sweep["id"]).stdout
    assert tunery.json("sweeps", "wait", sweep["id"])["best"] == sweep["best"]
    assert "already succeeded" in tunery.run("sweeps", "cancel", sweep["id"], expect=1).stderr
    assert tunery.json("predict", "--model", sweep["id"], "a good film")["model"] == sweep["best"]["model"]
    assert tunery.json("sweeps", "rm", sweep["id"]) == {"id": sweep["id"], "deleted": True}
    assert "There is no sweep" in tunery.run("sweeps", "show", sweep["id"], expect=1).stderr
    assert tunery.json("predict", "--model", sweep["best"]["model"], "a good film")["model"] == sweep["best"]["model"]
