"""How good a model is, in words, for each kind of problem."""

import pytest

from app.cli.report import print_report, summary_lines

ROW = {"label": "joy", "support": 7, "precision": 0.5, "recall": 0.25, "f1": 0.333}


@pytest.mark.parametrize(
    ("report", "lines"),
    [
        (
            {"metrics": {"accuracy": 0.8}, "majority_baseline": {"label": "1", "accuracy": 0.58}},
            ["validation: accuracy 0.8000", "always answering 1, the most frequent: accuracy 0.5800"],
        ),
        (
            {
                "metrics": {"f1_micro": 0.5},
                "majority_baseline": {"label": "joy", "accuracy": 0.1, "f1_micro": 0.2},
                "test": {"metrics": {"f1_micro": 0.4}},
            },
            [
                "validation: f1_micro 0.5000",
                "test: f1_micro 0.4000",
                "always answering joy, the most frequent: accuracy 0.1000, f1_micro 0.2000",
            ],
        ),
        (
            {"metrics": {"pearson": 0.9}, "mean_baseline": {"value": 2.5, "mse": 2.0, "mae": 1.25}},
            ["validation: pearson 0.9000", "always answering 2.5000, the mean: mse 2.0000, mae 1.2500"],
        ),
        (
            {
                "metrics": {"squad_f1": 61.5, "squad_exact_match": 50.0},
                "no_answer_baseline": {"squad_exact_match": 25.0, "squad_f1": 25.0},
                "first_sentence_baseline": {"squad_exact_match": 0.0, "squad_f1": 12.5},
            },
            [
                "validation: squad_f1 61.5000, squad_exact_match 50.0000",
                "never answering: squad_f1 25.0000, squad_exact_match 25.0000",
                "always answering with the first sentence: squad_f1 12.5000, squad_exact_match 0.0000",
            ],
        ),
        (None, []),
    ],
)
def test_a_line_for_each_split_and_one_for_a_guess(report, lines):
    assert summary_lines({"report": report}) == lines


def test_classes_and_labels_are_a_table_and_a_number_has_none(capsys):
    print_report({"report": {"per_class": [ROW]}})
    assert "joy" in capsys.readouterr().out
    print_report({"report": {"mean_baseline": {"value": 2.5, "mse": 2.0, "mae": 1.25}}})
    assert capsys.readouterr().out == ""
