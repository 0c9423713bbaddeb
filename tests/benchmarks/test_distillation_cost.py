"""What a self-distilled step costs beyond a plain step: the teacher's forward pass, and little.

Run with ``make bench``. The three are timed in turn, so that a busy machine slows all of them.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F
from transformers import BertConfig, BertForSequenceClassification

from workbench.methods.pruning import Masks, magnitude
from workbench.methods.self_distillation import SelfDistillation

REPEATS = 21


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@pytest.mark.parametrize("loss", ["kld", "cos", "cc"])
def test_a_step_costs_a_plain_step_and_a_teacher_forward_and_a_tenth(benchmark, loss):
    if benchmark.disabled:
        pytest.skip("measured by `make bench`")
    torch.manual_seed(0)
    config = BertConfig(vocab_size=5000, hidden_size=256, num_hidden_layers=6,
                        num_attention_heads=4, intermediate_size=1024)  # fmt: skip
    plain = BertForSequenceClassification(config).train()
    teacher, student = copy.deepcopy(plain).eval(), copy.deepcopy(plain).train()
    optimizers = {m: torch.optim.AdamW(m.parameters(), lr=1e-5) for m in (plain, student)}
    Masks.globally(magnitude(student), 0.3).attach(student, optimizers[student])
    objective = SelfDistillation(loss)
    ids, labels = torch.randint(5000, (32, 64)), torch.randint(2, (32,))
    states = objective.needs_representation

    def update(model: BertForSequenceClassification, value: torch.Tensor) -> None:
        optimizers[model].zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizers[model].step()

    def teach():
        with torch.no_grad():
            return teacher(ids, output_hidden_states=states)

    def plain_step() -> None:
        update(plain, F.cross_entropy(plain(ids).logits, labels))

    def distilled_step() -> None:
        taught = teach()
        outputs = student(ids, output_hidden_states=states)
        update(student, objective(outputs, taught, labels))

    calls = {"plain": plain_step, "teacher": teach, "distilled": distilled_step}
    for call in calls.values():
        call()
    rounds = [{name: timed(call) for name, call in calls.items()} for _ in range(REPEATS)]
    benchmark.pedantic(distilled_step, rounds=3)
    median = {name: statistics.median(r[name] for r in rounds) for name in calls}
    # Per round: what happened to the machine in it happened to all three.
    ratio = statistics.median(r["distilled"] / (r["plain"] + r["teacher"]) for r in rounds)
    benchmark.extra_info |= {**median, "ratio": ratio}
    print(f"\n{loss}: {ratio:.3f} of plain + teacher; medians in s: {median}")
    assert ratio <= 1.10
