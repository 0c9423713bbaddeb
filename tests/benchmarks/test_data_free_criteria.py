"""Data-free criteria on an encoder of 85M weights: seconds, memory, and the textbook beside them.

Run with ``make bench``. The textbook versions are written as the papers' repositories write them:
LAMP sorts pairs and sums in float32, lookahead spreads each norm to a matrix, SynFlow doubles the
network and differentiates. Each pair is timed in turn, so that a busy machine slows both.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from workbench.methods.pruning import Masks, lamp, lookahead, magnitude, random, synflow

THREADS = 2
CRITERIA = {c.__name__: c for c in (random, magnitude, lamp, lookahead, synflow)}


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    torch.set_num_threads(min(os.cpu_count() or 1, THREADS))  # the tests have one
    yield
    torch.set_num_threads(before)


def bert_base() -> nn.Module:
    """BERT base with a small vocabulary: 12 layers, 84.9M prunable weights."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    return BertModel(BertConfig(vocab_size=100), add_pooling_layer=False).eval()


def chain() -> nn.Sequential:
    """The same 72 matrices one after the other, which the textbook versions can follow."""
    shapes = ([(768, 768)] * 4 + [(768, 3072), (3072, 768)]) * 12
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Linear(a, b, bias=False) for a, b in shapes))


@pytest.mark.parametrize("choose", [Masks.globally, Masks.layerwise], ids=["global", "layerwise"])
@pytest.mark.parametrize("name", CRITERIA)
def test_scores_and_masks_take_less_than_three_seconds(benchmark, threads, name, choose):
    if benchmark.disabled:
        pytest.skip("measured by `make bench`")
    model = bert_base()
    masks = benchmark.pedantic(
        lambda: choose(CRITERIA[name](model), 0.1), rounds=3, warmup_rounds=1
    )
    assert masks.total == 12 * 12 * 768**2
    assert masks.density == pytest.approx(0.1, abs=1e-5)  # every layer rounds its count
    least = benchmark.stats.stats.min
    print(f"\n{name}: {least:.2f} s on {torch.get_num_threads()} threads")
    # The least of three: others on the machine can only add to it.
    assert least < 3


def textbook_lamp(model: nn.Sequential) -> list[Tensor]:
    found = []
    for layer in model:
        squares = layer.weight.detach() ** 2
        ordered, index = squares.view(-1).sort(descending=False)
        before = torch.zeros_like(ordered)
        before[1:] = ordered.cumsum(0)[:-1]
        ordered /= squares.sum() - before
        scores = torch.zeros_like(ordered)
        scores[index] = ordered
        found.append(scores.view(squares.shape))
    return found


def textbook_lookahead(model: nn.Sequential) -> list[Tensor]:
    weights = [layer.weight.detach() for layer in model]
    found = []
    for i, weight in enumerate(weights):
        score = weight**2
        if i > 0:
            left = (weights[i - 1] ** 2).sum(dim=1)
            score = score * left.view(1, -1).repeat(weight.size(0), 1)
        if i < len(weights) - 1:
            right = (weights[i + 1] ** 2).sum(dim=0)
            score = score * right.view(-1, 1).repeat(1, weight.size(1))
        found.append(score)
    return found


def textbook_synflow(model: nn.Sequential) -> list[Tensor]:
    twin = copy.deepcopy(model).double()
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.abs_()
    twin(torch.ones(1, 768, dtype=torch.float64)).sum().backward()
    return [(p.grad * p).detach().abs() for p in twin.parameters()]


def seconds(call: Callable[[nn.Sequential], object], model: nn.Sequential) -> float:
    start = time.perf_counter()
    call(model)
    return time.perf_counter() - start


@pytest.mark.parametrize(
    ("ours", "textbook", "times"),
    # LAMP sorts several times faster; the others read the weights once or twice, as the textbook
    # does, but lookahead takes its norms in float64.
    [
        (lamp, textbook_lamp, 2),
        (lookahead, textbook_lookahead, 0.8),
        (synflow, textbook_synflow, 1),
    ],
    ids=["lamp", "lookahead", "synflow"],
)
def test_faster_than_the_textbook(benchmark, threads, ours, textbook, times):
    if benchmark.disabled:
        pytest.skip("measured by `make bench`")
    model = chain()
    ours(model), textbook(model)
    rounds = [(seconds(ours, model), seconds(textbook, model)) for _ in range(3)]
    benchmark.pedantic(ours, args=(model,), rounds=3)
    mine, theirs = (min(column) for column in zip(*rounds))
    benchmark.extra_info |= {"textbook_seconds": theirs, "times_faster": theirs / mine}
    print(f"\n{ours.__name__}: {mine:.2f} s, textbook {theirs:.2f} s: {theirs / mine:.1f} times")
    assert theirs / mine >= times


PROBE = """
import json
import torch
from torch import nn
from workbench.methods import pruning

def status(field):  # the maximum in getrusage would count the parent process
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field))

torch.set_num_threads({threads})
shapes = ([(768, 768)] * 4 + [(768, 3072), (3072, 768)]) * 12
model = nn.Sequential(*(nn.Linear(a, b, bias=False) for a, b in shapes))
pruning.Masks.globally(pruning.{name}(nn.Linear(100, 100)), 0.1)  # libraries load their parts
before = status("VmRSS")
masks = pruning.Masks.globally(pruning.{name}(model), 0.1)
weights = sum(p.numel() * p.element_size() for p in model.parameters())
print(json.dumps((status("VmHWM") - before) / weights))
"""


@pytest.mark.parametrize("name", CRITERIA)
def test_at_most_one_copy_of_the_weights_beside_the_scores(benchmark, name):
    if benchmark.disabled or not sys.platform.startswith("linux"):
        pytest.skip("measured by `make bench` on Linux")
    code = PROBE.format(threads=THREADS, name=name)

    def measure() -> float:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout)

    copies = benchmark.pedantic(measure, rounds=1)
    benchmark.extra_info["copies_of_the_weights"] = copies
    print(f"\n{name}: scores and global masks take {copies:.2f} copies of the weights, scores 1")
    assert 0 < copies <= 2
