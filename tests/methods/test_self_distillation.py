"""The losses of chapter 11 against torch, numpy and formulas written out again."""

from __future__ import annotations

import math
from types import SimpleNamespace

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp
from torch import nn
from torch.nn import functional as F

from workbench.methods.self_distillation import (
    SelfDistillation,
    cosine,
    cross_correlation,
    kl_divergence,
    kld,
    task_loss,
)

pytestmark = pytest.mark.unit


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def output(n: int = 8, classes: int = 3, d: int = 5, seed: int = 0, **fields) -> SimpleNamespace:
    return SimpleNamespace(
        logits=draw(n, classes, seed=seed), representation=draw(n, d, seed=seed + 1), **fields
    )


# Divergence (11.1)


@pytest.mark.parametrize("tau", [0.5, 0.9, 1.0, 4.0])
def test_divergence_equals_that_of_torch(tau):
    student, teacher = draw(7, 4), draw(7, 4, seed=1)
    want = F.kl_div(F.log_softmax(student / tau, -1), F.softmax(teacher / tau, -1),
                    reduction="batchmean")  # fmt: skip
    torch.testing.assert_close(kl_divergence(student, teacher, tau), want)
    assert kld is kl_divergence


@given(hnp.arrays("float64", (4, 3), elements=st.floats(-50, 50)), st.floats(0.1, 10))
@settings(deadline=None)
def test_divergence_is_zero_on_itself_and_never_negative(values, tau):
    logits = torch.from_numpy(values)
    assert abs(kl_divergence(logits, logits + 3, tau)) < 1e-9  # softmax ignores a shift
    assert kl_divergence(logits, logits.flip(0), tau) > -1e-12


def test_the_printed_divergence_differs_by_twice_the_entropy():
    student, teacher = draw(5, 4), draw(5, 4, seed=1)
    ys, yt = student.softmax(-1), teacher.softmax(-1)
    entropy = -(yt * yt.log()).sum(-1)
    printed = (entropy - (yt * ys.log()).sum(-1)).mean()
    torch.testing.assert_close(printed - kl_divergence(student, teacher), 2 * entropy.mean())


def test_a_higher_temperature_softens():
    logits = draw(6, 5)
    entropies = [
        -(p * p.log()).sum() for p in ((logits / tau).softmax(-1) for tau in (0.5, 0.9, 1, 2))
    ]
    assert entropies == sorted(entropies)  # the thesis has it the other way round


def test_divergence_of_huge_logits_and_half_precision():
    student, teacher = torch.tensor([[1e4, -1e4]]), torch.tensor([[-1e4, 1e4]])
    assert kl_divergence(student, teacher) == 2e4
    half = kl_divergence(draw(4, 3).half(), draw(4, 3, seed=1).half())
    assert half.dtype == torch.float32
    assert half == pytest.approx(float(kl_divergence(draw(4, 3), draw(4, 3, seed=1))), rel=1e-2)


def test_divergence_refusals():
    with pytest.raises(ValueError, match=r"same shape \(..., classes\), got \(2, 3\) and \(2, 4\)"):
        kl_divergence(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="one output is always 1.*squared error"):
        kl_divergence(torch.zeros(2, 1), torch.zeros(2, 1))
    for tau in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="tau must be above 0, got"):
            kl_divergence(torch.zeros(2, 3), torch.zeros(2, 3), tau)


# Cosine


def test_cosine_closed_forms():
    z = draw(6, 4)
    assert cosine(z, 3 * z) == pytest.approx(0)
    assert cosine(z, -z) == pytest.approx(2)
    assert cosine(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]])) == 1
    assert cosine(torch.zeros(1, 3), torch.ones(1, 3)) == 1
    want = 1 - F.cosine_similarity(z, draw(6, 4, seed=1)).mean()
    torch.testing.assert_close(cosine(z, draw(6, 4, seed=1)), want)
    with pytest.raises(ValueError, match=r"shape \(n, d\) with n >= 1, got \(4,\)"):
        cosine(torch.ones(4), torch.ones(4))


# Cross-correlation (11.2)


def barlow_twins(zs: torch.Tensor, zt: torch.Tensor, weight: float) -> torch.Tensor:
    """The paper's algorithm 1, with its batch normalisation layer."""
    n, d = zs.shape
    normalise = nn.BatchNorm1d(d, affine=False).double().train()
    c = normalise(zs).T @ normalise(zt) / n
    on = torch.diagonal(c).add(-1).pow(2).sum()
    off = c[~torch.eye(d, dtype=torch.bool)].pow(2).sum()
    return on + weight * off


@pytest.mark.parametrize("weight", [0.0, 0.0051, 1.0])
def test_cross_correlation_is_that_of_barlow_twins(weight):
    zs, zt = draw(16, 6) * 3 + 2, draw(16, 6, seed=1) - 5
    torch.testing.assert_close(
        cross_correlation(zs, zt, weight), barlow_twins(zs, zt, weight), rtol=1e-10, atol=1e-10
    )


def test_cross_correlation_without_eps_is_pearsons():
    zs, zt = draw(16, 6) * 3 + 2, draw(16, 6, seed=1) - 5
    c = np.corrcoef(zs.numpy().T, zt.numpy().T)[:6, 6:]
    want = ((1 - np.diag(c)) ** 2).sum() + 0.3 * (c[~np.eye(6, dtype=bool)] ** 2).sum()
    assert float(cross_correlation(zs, zt, 0.3, eps=0)) == pytest.approx(want, rel=1e-12)


def test_cross_correlation_ignores_scale_and_shift_of_features():
    zs, zt = draw(16, 6), draw(16, 6, seed=1)
    moved = zs * torch.arange(1.0, 7) + torch.arange(6)
    torch.testing.assert_close(
        cross_correlation(moved, zt, eps=0), cross_correlation(zs, zt, eps=0)
    )
    assert cross_correlation(zs, zs, 0.0, eps=0) == pytest.approx(0, abs=1e-12)


def test_as_printed_features_with_a_mean_look_correlated():
    # Why ERRATA asks for batch normalisation: independent features with a large mean.
    zs, zt = draw(64, 6) + 20, draw(64, 6, seed=1) + 20
    printed = cross_correlation(zs, zt, 0.0, normalise=False)
    assert printed < 1e-3 < 1 < cross_correlation(zs, zt, 0.0)
    c = (zs.T @ zt) / torch.outer(zs.norm(dim=0), zt.norm(dim=0))
    torch.testing.assert_close(printed, (1 - c.diagonal()).square().sum())


def test_constant_features_correlate_with_nothing_and_have_a_finite_gradient():
    zs, zt = draw(8, 3), draw(8, 3, seed=1)
    zs[:, 1] = 0.1
    zs.requires_grad_()
    for eps in (0, 1e-5):
        loss = cross_correlation(zs, zt, eps=eps)
        (gradient,) = torch.autograd.grad(loss, zs)
        assert gradient.isfinite().all() and loss >= 1 - 1e-6
    assert float(cross_correlation(torch.ones(4, 3), torch.ones(4, 3))) == 3
    assert float(cross_correlation(torch.zeros(4, 3), zt[:4].float(), normalise=False)) == 3


def test_cross_correlation_refusals():
    with pytest.raises(ValueError, match=r"n >= 2, got \(1, 3\); one sample has no correlation"):
        cross_correlation(torch.ones(1, 3), torch.ones(1, 3))
    with pytest.raises(ValueError, match=r"representations must have the same shape \(n, d\)"):
        cross_correlation(torch.ones(4, 3), torch.ones(4, 2))


@pytest.mark.parametrize(
    "loss",
    [
        lambda a, b: kl_divergence(a, b, 0.9),
        cosine,
        cross_correlation,
        lambda a, b: cross_correlation(a, b, 0.5, normalise=False),
    ],
)
def test_gradients(loss):
    assert torch.autograd.gradcheck(
        loss, (draw(5, 4).requires_grad_(), draw(5, 4, seed=1).requires_grad_())
    )


@pytest.mark.parametrize("loss", [kl_divergence, cosine, cross_correlation])
def test_nan_is_not_hidden(loss):
    z = draw(5, 4)
    z[2, 1] = float("nan")
    assert loss(z, draw(5, 4, seed=1)).isnan() and loss(draw(5, 4, seed=1), z).isnan()


# The objective (11.1, 11.3)

LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])


def test_objectives_are_the_weighted_sums():
    student, teacher = output(), output(seed=7)
    ce = F.cross_entropy(student.logits, LABELS)
    kl = kl_divergence(student.logits, teacher.logits, 2.0)
    zs, zt = student.representation, teacher.representation
    want = {
        "none": ce,
        "kld": 0.7 * ce + 0.3 * 4 * kl,
        "cos": 0.7 * ce + 0.1 * cosine(zs, zt),
        "cc": 0.7 * ce + 0.3 * 4 * kl + 0.1 * cross_correlation(zs, zt, 0.02),
    }
    for loss, value in want.items():
        ours = SelfDistillation(loss, alpha=0.3, tau=2.0, beta=0.1, off_diagonal=0.02)
        torch.testing.assert_close(ours(student, teacher, LABELS), value)
        total = sum(ours.terms(student, teacher, LABELS).values())
        torch.testing.assert_close(total, value)


def test_defaults_are_those_of_the_thesis():
    default = SelfDistillation()
    assert (default.loss, default.alpha, default.tau, default.off_diagonal) == (
        "cc",
        0.5,
        0.9,
        0.0051,
    )
    assert default.weight_of_representation == 2e-5
    assert SelfDistillation("cos").weight_of_representation == 0.05
    assert SelfDistillation("cos", beta=0).weight_of_representation == 0


def test_the_teacher_gets_no_gradient():
    student, teacher = output(), output(seed=7)
    for out in (student, teacher):
        out.logits.requires_grad_()
        out.representation.requires_grad_()
    SelfDistillation("cc", beta=1.0)(student, teacher, LABELS).backward()
    assert student.logits.grad is not None and student.representation.grad is not None
    assert teacher.logits.grad is None and teacher.representation.grad is None


def test_extreme_alpha():
    student, teacher = output(), output(seed=7)
    only_teacher = SelfDistillation("kld", alpha=1)(student, teacher, None)
    torch.testing.assert_close(
        only_teacher, 0.81 * kl_divergence(student.logits, teacher.logits, 0.9)
    )
    only_labels = SelfDistillation("kld", alpha=0)(student, teacher, LABELS)
    torch.testing.assert_close(only_labels, F.cross_entropy(student.logits, LABELS))


def test_a_batch_of_one_leaves_correlations_out():
    student, teacher = output(n=1), output(n=1, seed=7)
    both = [SelfDistillation(loss)(student, teacher, LABELS[:1]) for loss in ("cc", "kld")]
    torch.testing.assert_close(*both)
    assert SelfDistillation("cos")(student, teacher, LABELS[:1]).isfinite()


def test_one_class_only_in_the_batch():
    student, teacher = output(), output(seed=7)
    for loss in ("none", "kld", "cos", "cc"):
        assert SelfDistillation(loss)(student, teacher, torch.ones(8, dtype=torch.long)).isfinite()


def test_regression_uses_squared_errors():
    student, teacher, y = output(classes=1), output(classes=1, seed=7), draw(8, seed=9).float()
    ours = SelfDistillation("kld", alpha=0.25, tau=5.0)(student, teacher, y)
    want = 0.75 * (student.logits[:, 0] - y).square().mean()
    want = want + 0.25 * (student.logits - teacher.logits).square().mean()
    torch.testing.assert_close(ours, want)


def test_several_labels_and_tokens():
    logits = draw(8, 3)
    many = (draw(8, 3, seed=2) > 0).float()
    want = F.binary_cross_entropy_with_logits(logits, many.double())
    torch.testing.assert_close(task_loss(logits, many), want)

    student = SimpleNamespace(logits=draw(2, 5, 3))
    teacher = SimpleNamespace(logits=draw(2, 5, 3, seed=1))
    labels = torch.tensor([[0, 1, -100, -100, 2], [1, -100, 0, 0, 0]])
    counted = labels != -100
    want = 0.5 * F.cross_entropy(student.logits[counted], labels[counted])
    want = want + 0.5 * kl_divergence(student.logits[counted], teacher.logits[counted])
    torch.testing.assert_close(SelfDistillation("kld", tau=1.0)(student, teacher, labels), want)


def test_representations_of_plain_transformers(make_bert, tokens):
    student, teacher = make_bert(0), make_bert(1)
    outputs = [m(tokens, output_hidden_states=True) for m in (student, teacher)]
    loss = SelfDistillation("cos", alpha=0.5, beta=2.0)(*outputs, torch.arange(6) % 3)
    first = [o.hidden_states[-1][:, 0] for o in outputs]
    want = 0.5 * F.cross_entropy(outputs[0].logits, torch.arange(6) % 3) + 2 * cosine(*first)
    torch.testing.assert_close(loss, want)
    pooled = SelfDistillation("cos", representation=lambda o: o.hidden_states[-1].mean(1))
    assert pooled(*outputs, torch.arange(6) % 3) != loss
    with pytest.raises(ValueError, match="holds no representation.*output_hidden_states=True"):
        SelfDistillation("cos")(student(tokens), teacher(tokens), torch.arange(6) % 3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"loss": "mse"}, r"loss must be one of \['none', 'kld', 'cos', 'cc'\], got 'mse'"),
        ({"alpha": 1.5}, r"alpha must be in \[0, 1\], got 1.5"),
        ({"alpha": math.nan}, r"alpha must be in \[0, 1\], got nan"),
        ({"tau": 0}, "tau must be above 0, got 0"),
        ({"beta": -1}, "beta must be a finite number of at least 0, got -1"),
        ({"off_diagonal": math.inf}, "off_diagonal must be a finite number of at least 0, got inf"),
    ],
)
def test_fields_out_of_range(fields, message):
    with pytest.raises(ValueError, match=message):
        SelfDistillation(**fields)


def test_calls_that_cannot_work():
    student, teacher = output(), output(seed=7)
    with pytest.raises(ValueError, match="'cc' compares with a teacher; its output is None"):
        SelfDistillation()(student, None, LABELS)
    with pytest.raises(ValueError, match="labels are needed unless alpha is 1; got None"):
        SelfDistillation("kld")(student, teacher, None)
    with pytest.raises(
        ValueError, match=r"labels of shape \(3,\).*do not fit logits of shape \(8, 3\)"
    ):
        SelfDistillation("none")(student, None, LABELS[:3])
    with pytest.raises(ValueError, match=r"logits must have the same shape.*\(8, 3\) and \(8, 4\)"):
        SelfDistillation("kld")(student, output(classes=4), LABELS)
