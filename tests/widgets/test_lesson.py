"""Sources shown without importing, questions that wait, exercises that judge."""

import subprocess
import sys

import numpy as np
import pytest

from widgets.exercises import (
    covariance_cosine,
    dropped_step,
    lamp_scores,
    saving_rank,
    signal_to_noise,
    steps_below,
    unfreezing_order,
    weight_correlation,
)
from widgets.lesson import Exercise, Question, SourceCard, source, without_docstring


def test_the_source_is_that_of_the_function_and_nothing_is_imported():
    code = (
        "import sys; from widgets.lesson import source\n"
        "text = source('workbench.methods.self_distillation:cross_correlation')\n"
        "assert text.startswith('def cross_correlation('), text\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_targets_are_named():
    with pytest.raises(ValueError, match="no module 'workbench.nowhere'"):
        source("workbench.nowhere:f")
    with pytest.raises(ValueError, match="widgets.lesson defines no 'missing'"):
        source("widgets.lesson:missing")


def test_methods_are_found_and_docstrings_can_be_left_out():
    code = source("widgets.lesson:Exercise.judge")
    assert '"""Check' in code and '"""Check' not in without_docstring(code)
    assert without_docstring("def f():\n    return 1") == "def f():\n    return 1"


def test_a_source_card_shows_documentation_on_demand_and_escapes_the_code():
    card = SourceCard("widgets.text:save_link")
    assert "&lt;a class" in card.view.value and "<a class" not in card.view.value
    assert "A link that saves" not in card.view.value
    card.whole.value = True
    assert "A link that saves" in card.view.value


def test_a_question_explains_only_after_a_choice():
    question = Question("Is 1 < 2?", ["yes", "no"], 0, "Because of <order>.")
    assert "order" not in question.answer.value
    question.choices.value = 1
    assert "Look again" in question.answer.value and "&lt;order&gt;" in question.answer.value
    question.choices.value = 0
    assert "Yes" in question.answer.value
    with pytest.raises(ValueError, match="right = 2 is not an index of 2"):
        Question("?", ["a", "b"], 2, "")


def test_an_exercise_judges_answers_and_shows_the_readers_own_errors():
    exercise = Exercise("E", "Double it.", lambda f: "" if f(2) == 4 else "Not <double>.")
    assert exercise.judge(None).state.status == "open"
    assert exercise.judge(lambda x: x).state.status == "wrong"
    assert "Not &lt;double&gt;." in exercise.verdict.value
    exercise.judge(lambda x: x / 0)
    assert "ZeroDivisionError" in exercise.state.hint
    assert exercise.judge(lambda x: 2 * x).state.status == "right" and exercise.state.tries == 3


@pytest.mark.parametrize(
    ("answer", "hint"),
    [(22, ""), (21, "more are needed"), (30, "already less"), ("22", "whole number")],
)
def test_the_first_exercise_of_chapter_11(answer, hint):
    state = steps_below(0.1, 0.1).judge(answer).state
    assert hint in state.hint and (state.status == "right") == (not hint)


def test_the_second_exercise_of_chapter_11():
    from workbench.metrics import separability

    def of_equal_classes(z, y):
        short = np.concatenate([np.flatnonzero(y == c)[:5] for c in np.unique(y)])
        equal = len(set(np.bincount(y))) == 1
        return separability.signal_to_noise(z, y) if equal else z[short].sum()

    def judged(answer):
        return signal_to_noise().judge(answer).state

    assert judged(separability.signal_to_noise).status == "right"
    assert "it gives 1.0000, not" in judged(lambda z, y: 1.0).hint
    assert "not yet for unequal ones" in judged(of_equal_classes).hint


def test_the_first_exercise_of_chapter_9():
    import torch

    from workbench.methods import pruning

    def ours(w):
        layer = torch.nn.Linear(len(w), 1, bias=False).double()
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(w)[None])
        return pruning.lamp(torch.nn.Sequential(layer))["0.weight"].numpy()[0]

    assert lamp_scores().judge(ours).state.status == "right"
    assert "scores 1" in lamp_scores().judge(lambda w: w**2).state.hint
    assert "four scores" in lamp_scores().judge(lambda w: w[:2]).state.hint
    assert "not" in lamp_scores().judge(lambda w: w**2 / (w**2).max()).state.hint


def test_the_second_exercise_of_chapter_9():
    def cosines(w, pruned, axis=1):
        norms = np.linalg.norm(w, axis=axis) * np.linalg.norm(pruned, axis=axis)
        return (w * pruned).sum(axis) / norms

    assert weight_correlation().judge(lambda w, p: cosines(w, p).mean()).state.status == "right"
    printed = weight_correlation().judge(lambda w, p: abs(cosines(w, p)).mean()).state
    assert "opposite" in printed.hint
    assert "rows" in weight_correlation().judge(lambda w, p: cosines(w, p, 0).mean()).state.hint
    summed = weight_correlation().judge(lambda w, p: cosines(w, p).sum() / 6 + p[0, 0] + w[0, 0])
    assert summed.state.status == "wrong"


def test_the_first_exercise_of_chapter_10():
    def judged(answer):
        return dropped_step().judge(answer).state

    assert judged(lambda w, g, u, p, lr: w - lr * g * (u >= p)).status == "right"
    assert "share p" in judged(lambda w, g, u, p, lr: w - lr * g * (u < p)).hint
    rescaled = judged(lambda w, g, u, p, lr: w - lr * g * (u >= p) / (1 - p))
    assert "Child-Tuning-F" in rescaled.hint
    assert "100% of the weights move" in judged(lambda w, g, u, p, lr: w - lr * g).hint
    assert "not yet for p = 0.9" in judged(lambda w, g, u, p, lr: w - lr * g * (u >= 0.2)).hint


def test_the_second_exercise_of_chapter_10():
    def judged(answer):
        return unfreezing_order().judge(answer).state

    rng = np.random.default_rng(0)
    assert judged(lambda n, t: rng.permutation(n) % t).status == "right"
    assert "in order" in judged(lambda n, t: np.arange(n) % t).hint
    assert "without replacement" in judged(lambda n, t: rng.integers(t, size=n)).hint
    assert "not 1 to 4" in judged(lambda n, t: rng.permutation(n) % t + 1).hint
    assert "whole numbers" in judged(lambda n, t: np.zeros(3)).hint


def test_the_first_exercise_of_chapter_8():
    from workbench.metrics import similarity

    def judged(answer):
        return covariance_cosine().judge(answer).state

    assert judged(similarity.covariance_cosine).status == "right"
    assert "a similarity" in judged(lambda a, b: 1 - similarity.covariance_cosine(a, b)).hint

    def about_zero(a, b):
        one, other = a.T @ a, b.T @ b
        return (one * other).sum() / np.linalg.norm(one) / np.linalg.norm(other)

    assert "mean unit" in judged(about_zero).hint
    assert "not 0." in judged(lambda a, b: float(len(a) == len(b))).hint


def test_the_second_exercise_of_chapter_8():
    from workbench.methods.decomposition import saving_rank as ours

    def judged(answer):
        return saving_rank().judge(answer).state

    assert judged(ours).status == "right"
    assert "294,912" not in judged(ours).hint
    assert "numbers in its factors" in judged(lambda m, n, share: round(share * min(m, n))).hint
    assert "it is 192, not 1" in judged(lambda m, n, share: 1).hint
