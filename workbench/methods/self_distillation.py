"""Self-distilled pruning: losses that keep a pruned network close to the dense one it came from.

Thesis chapter 11, equations 11.1-11.3 and Algorithm 5, corrected as the docstrings say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

Loss = Literal["none", "kld", "cos", "cc"]

# Weight of the representation term: the best values of thesis section 11.4.
BETA = {"none": 0.0, "kld": 0.0, "cos": 0.05, "cc": 2e-5}


def kl_divergence(student_logits: Tensor, teacher_logits: Tensor, tau: float = 1.0) -> Tensor:
    r"""Kullback-Leibler divergence of the student from the teacher, in nats.

    .. math:: D = \frac1n \sum_n \sum_c y^T_{nc} \log \frac{y^T_{nc}}{y^S_{nc}}, \quad
              y = \mathrm{softmax}(\text{logits} / \tau)

    Thesis equation 11.1, corrected: the printed :math:`H(y^T) - y^T \log y^S` is the divergence
    plus twice the entropy (same gradient, never zero), and lacks the temperature. A temperature
    above 1 softens both distributions; the thesis's 0.9 sharpens them a little. The factor
    :math:`\tau^2` of the objective is not in here; ``SelfDistillation`` multiplies by it.

    Args:
        student_logits: (..., classes).
        teacher_logits: (..., classes).
        tau: temperature, above 0.

    Returns:
        Scalar, the mean over all leading dimensions; at least 0. NaN logits give NaN.

    Raises:
        ValueError: shapes differ, fewer than two classes, or a temperature that is not positive.

    References:
        Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015.
    """
    _check_same_shape(student_logits, teacher_logits, "logits", "(..., classes)")
    if student_logits.shape[-1] < 2:
        raise ValueError(
            "the softmax of one output is always 1, so there is nothing to distil from logits of "
            f"shape {tuple(student_logits.shape)}; for regression use the squared error between "
            "student and teacher, as SelfDistillation does"
        )
    if not tau > 0:
        raise ValueError(f"tau must be above 0, got {tau!r}; 1 leaves the logits as they are")
    student = F.log_softmax(_wide(student_logits) / tau, dim=-1)
    teacher = F.log_softmax(_wide(teacher_logits) / tau, dim=-1)
    return F.kl_div(student, teacher, log_target=True, reduction="none").sum(-1).mean()


kld = kl_divergence


def cosine(zs: Tensor, zt: Tensor) -> Tensor:
    r"""Mean cosine distance between matching representations, in [0, 2].

    .. math:: \frac1n \sum_n 1 - \frac{z^S_n \cdot z^T_n}{\|z^S_n\| \|z^T_n\|}

    The distillation term of SDP-COS (thesis section 11.4). A representation of length zero counts
    as orthogonal to everything.

    Args:
        zs: student representations, (n, d).
        zt: teacher representations, (n, d).

    Raises:
        ValueError: shapes differ or are not (n, d) with n >= 1.
    """
    _check_representations(zs, zt, at_least=1)
    return (1 - F.cosine_similarity(_wide(zs), _wide(zt), dim=-1)).mean()


def cross_correlation(
    zs: Tensor,
    zt: Tensor,
    off_diagonal: float = 0.0051,
    *,
    normalise: bool = True,
    eps: float = 1e-5,
) -> Tensor:
    r"""Cross-correlation loss between student and teacher representations.

    .. math:: \ell_{CC} = \sum_i (1 - C_{ii})^2 + \lambda \sum_i \sum_{j \ne i} C_{ij}^2

    with :math:`C = \hat z^{S\top} \hat z^T / n`, and :math:`\hat z` batch-normalised: every feature
    has mean 0 and variance 1 (less ``eps``) over the batch. The diagonal asks for the features of
    the dense network, the rest for features that do not repeat each other. Sums, not means: the
    loss grows with d (diagonal) and d^2 (off the diagonal), which the thesis's
    :math:`\beta = 2 \times 10^{-5}` allows for.

    Thesis equation 11.2, corrected: the printed ratio does not centre the features, so that those
    with a large mean look correlated whatever they say; the text's "batch normalized" is what is
    meant. :math:`\lambda` is not given there; 0.0051 is that of Barlow Twins.

    Args:
        zs: student representations, (n, d).
        zt: teacher representations, (n, d).
        off_diagonal: :math:`\lambda`.
        normalise: ``False`` gives equation 11.2 as printed, without centring.
        eps: added to the variance, as ``torch.nn.BatchNorm1d`` does; 0 gives Pearson's
            correlation exactly. A feature that is constant over the batch correlates with nothing.

    Returns:
        Scalar, at least 0. NaN representations give NaN.

    Raises:
        ValueError: shapes differ, or fewer than two samples when normalising.

    References:
        Zbontar et al., "Barlow Twins", ICML 2021, arXiv 2103.03230.
    """
    _check_representations(zs, zt, at_least=2 if normalise else 1)
    matrix = _correlation(_wide(zs), _wide(zt), normalise, eps)
    diagonal = matrix.diagonal()
    rest = matrix.square().sum() - diagonal.square().sum()
    return (1 - diagonal).square().sum() + off_diagonal * rest


@dataclass(frozen=True)
class SelfDistillation:
    r"""The objective of self-distilled pruning: (student output, teacher output, labels) -> loss.

    =========  ===========================================================================
    ``none``   :math:`\ell_{CE}`
    ``kld``    :math:`(1 - \alpha) \ell_{CE} + \alpha \tau^2 D_{KL}(y^T \| y^S)`, eq. 11.1
    ``cos``    :math:`(1 - \alpha) \ell_{CE} + \beta\, \mathrm{cosine}(z^S, z^T)`
    ``cc``     ``kld`` :math:`+\, \beta\, \ell_{CC}(z^S, z^T)`, eq. 11.3
    =========  ===========================================================================

    Equation 11.3, corrected: the printed :math:`\alpha^2` is :math:`\alpha \tau^2`. SDP-COS,
    corrected: the printed :math:`\alpha \ell_{CE}` is :math:`(1 - \alpha) \ell_{CE}`, as in the
    other two. The cross-entropy is a mean over samples, without the printed 1/C.

    Outputs are anything with ``logits`` and, for ``cos`` and ``cc``, a representation: the
    attribute ``representation`` (n, d), else the first token of ``hidden_states[-1]`` or of
    ``last_hidden_state``, as the thesis does. The teacher's side is detached.

    Labels may be class indices (n,), token classes (n, length) with -100 for tokens that do not
    count, numbers (n,) for one regression output, or 0/1 floats (n, classes) for several labels.
    In regression the squared error to the labels stands for cross-entropy, and the squared error
    to the teacher for the divergence, without :math:`\tau`.

    Args:
        loss: the variant, above.
        alpha: weight of the teacher's soft targets against the labels, in [0, 1].
        tau: temperature of both softmaxes, above 0.
        beta: weight of the representation term; 0.05 for ``cos`` and 2e-5 for ``cc`` if left out.
        off_diagonal: weight of decorrelation in ``cc``.
        representation: function of an output that returns (n, d), instead of the rule above.

    Raises:
        ValueError: a field out of range (when made); outputs without what the loss needs, labels
            of another shape (when called).

    Note:
        A last batch of a single sample has no correlations: ``cc`` leaves its term out there.
    """

    loss: Loss = "cc"
    alpha: float = 0.5
    tau: float = 0.9
    beta: float | None = None
    off_diagonal: float = 0.0051
    representation: Callable[[Any], Tensor] | None = None

    def __post_init__(self) -> None:
        if self.loss not in get_args(Loss):
            raise ValueError(f"loss must be one of {list(get_args(Loss))}, got {self.loss!r}")
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha must be in [0, 1], got {self.alpha!r}")
        if not self.tau > 0:
            raise ValueError(f"tau must be above 0, got {self.tau!r}")
        for name in ("beta", "off_diagonal"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise ValueError(f"{name} must be a finite number of at least 0, got {value!r}")

    def __call__(self, student: Any, teacher: Any = None, labels: Tensor | None = None) -> Tensor:
        """The weighted sum of ``terms``, a scalar."""
        return torch.stack(list(self.terms(student, teacher, labels).values())).sum()

    def terms(
        self, student: Any, teacher: Any = None, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The weighted terms by name (``task``, ``teacher``, ``representation``), for logging."""
        if teacher is None and self.loss != "none":
            raise ValueError(f"loss {self.loss!r} compares with a teacher; its output is None")
        task_weight = 1.0 if self.loss == "none" else 1 - self.alpha
        terms: dict[str, Tensor] = {}
        if task_weight:
            terms["task"] = task_weight * task_loss(student.logits, labels)
        if self.loss in ("kld", "cc") and self.alpha:
            terms["teacher"] = self.alpha * self._soft_targets(student, teacher, labels)
        if self.loss in ("cos", "cc"):
            term = self._representations(student, teacher)
            if term is not None:
                terms["representation"] = self.weight_of_representation * term
        return terms or {"task": 0.0 * student.logits.sum()}

    @property
    def weight_of_representation(self) -> float:
        """``beta``, or the thesis's value for this loss when it was left out."""
        return BETA[self.loss] if self.beta is None else self.beta

    @property
    def needs_representation(self) -> bool:
        """Whether outputs must carry hidden states."""
        return self.loss in ("cos", "cc")

    def _soft_targets(self, student: Any, teacher: Any, labels: Tensor | None) -> Tensor:
        ours, theirs = student.logits, teacher.logits.detach()
        _check_same_shape(ours, theirs, "logits", "(..., classes)")
        if ours.shape[-1] == 1:
            return F.mse_loss(_wide(ours), _wide(theirs))
        if ours.ndim == 3 and labels is not None and labels.shape == ours.shape[:-1]:
            counted = labels != -100  # padding and word pieces of token classification
            ours, theirs = ours[counted], theirs[counted]
        return self.tau**2 * kl_divergence(ours, theirs, self.tau)

    def _representations(self, student: Any, teacher: Any) -> Tensor | None:
        read = self.representation or last_hidden
        zs, zt = read(student), read(teacher).detach()
        if self.loss == "cos":
            return cosine(zs, zt)
        return cross_correlation(zs, zt, self.off_diagonal) if len(zs) > 1 else None


def task_loss(logits: Tensor, labels: Tensor | None) -> Tensor:
    """Cross-entropy (nats) for class labels, squared error for one output, as the labels say.

    Args:
        logits: (n, classes), (n, 1) for regression, or (n, length, classes) for tokens.
        labels: (n,) indices or numbers, (n, length) token classes, or (n, classes) 0/1 floats.

    Raises:
        ValueError: labels are missing or do not fit the logits.
    """
    if labels is None:
        raise ValueError("labels are needed unless alpha is 1; got None")
    logits = _wide(logits)
    if logits.shape[-1] == 1 and labels.numel() == logits.numel():
        return F.mse_loss(logits.reshape(-1), labels.reshape(-1).to(logits.dtype))
    if labels.is_floating_point() and labels.shape == logits.shape:
        return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))
    if not labels.is_floating_point() and labels.shape == logits.shape[:-1]:
        return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1).long())
    raise ValueError(
        f"labels of shape {tuple(labels.shape)} and dtype {labels.dtype} do not fit logits of "
        f"shape {tuple(logits.shape)}; give indices of shape {tuple(logits.shape[:-1])}"
    )


def last_hidden(output: Any) -> Tensor:
    """The sentence representation (n, d) in a model's output.

    ``output.representation`` if there is one, else the first token ([CLS]) of the last layer.

    Raises:
        ValueError: the output holds no hidden states.
    """
    if (representation := getattr(output, "representation", None)) is not None:
        return representation
    if (states := getattr(output, "hidden_states", None)) is not None:
        return states[-1][:, 0]
    if (state := getattr(output, "last_hidden_state", None)) is not None:
        return state[:, 0]
    raise ValueError(
        f"{type(output).__name__} holds no representation: it has none of 'representation', "
        "'hidden_states' and 'last_hidden_state'. Call the model with output_hidden_states=True"
    )


def _correlation(zs: Tensor, zt: Tensor, centre: bool, eps: float) -> Tensor:
    def unit(z: Tensor) -> Tensor:
        z = z - z.mean(0) if centre else z
        variance = z.square().mean(0)
        constant = variance == 0
        # Masked before the root, so that a constant feature has gradient 0 and not NaN.
        scale = (variance.masked_fill(constant, 1) + (eps if centre else 0)).rsqrt()
        return z * scale.masked_fill(constant, 0)

    return unit(zs).T @ unit(zt) / len(zs)


def _wide(x: Tensor) -> Tensor:
    """Half precision computes in float32; float64 stays."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _check_same_shape(ours: Tensor, theirs: Tensor, what: str, wanted: str) -> None:
    if ours.shape != theirs.shape:
        raise ValueError(
            f"student and teacher {what} must have the same shape {wanted}, "
            f"got {tuple(ours.shape)} and {tuple(theirs.shape)}"
        )


def _check_representations(zs: Tensor, zt: Tensor, at_least: int) -> None:
    _check_same_shape(zs, zt, "representations", "(n, d)")
    if zs.ndim != 2 or len(zs) < at_least:
        raise ValueError(
            f"representations must have shape (n, d) with n >= {at_least}, got {tuple(zs.shape)}"
            + ("; one sample has no correlation" if zs.ndim == 2 and at_least == 2 else "")
        )
