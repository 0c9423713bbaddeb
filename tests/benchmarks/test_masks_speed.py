"""Global masks at the size of BERT base, against ``torch.nn.utils.prune``: time and memory.

Run with ``make bench``; both sides run in the same minute on the same threads.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from workbench.methods.pruning import Masks, magnitude

THREADS = 2


def bert_base_linears() -> nn.Sequential:
    """The 72 prunable matrices of BERT base: 84.9M weights."""
    shapes = ([(768, 768)] * 4 + [(768, 3072), (3072, 768)]) * 12
    return nn.Sequential(*(nn.Linear(a, b, bias=False) for a, b in shapes))


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    torch.set_num_threads(min(before, THREADS))
    yield
    torch.set_num_threads(before)


def test_global_masks_are_ten_times_faster_than_torch(benchmark, threads):
    if benchmark.disabled:
        pytest.skip("measured by `make bench`")
    model = bert_base_linears()

    def ours() -> Masks:
        return Masks.globally(magnitude(model), 0.1)

    masks = benchmark.pedantic(ours, rounds=5, warmup_rounds=1)
    theirs = bert_base_linears()
    theirs.load_state_dict(model.state_dict())
    start = time.perf_counter()
    prune.global_unstructured(
        [(layer, "weight") for layer in theirs],
        prune.L1Unstructured,
        amount=masks.total - masks.kept,
    )
    seconds = time.perf_counter() - start
    ours()
    ratio = seconds / benchmark.stats.stats.median
    benchmark.extra_info |= {"torch_seconds": seconds, "times_faster": ratio}
    print(f"\ntorch {seconds:.2f} s, ours {benchmark.stats.stats.median:.2f} s: {ratio:.0f} times")
    # The same weights: theirs breaks ties otherwise, of which random weights have few.
    differ = sum(
        int((masks[f"{i}.weight"] != layer.weight_mask.bool()).sum())
        for i, layer in enumerate(theirs)
    )
    assert masks.total == 12 * 12 * 768**2 and differ <= 100
    assert ratio >= 10


PROBE = """
import json
import torch
from torch import nn
from workbench.methods.pruning import Masks, magnitude

def status(field):  # the maximum in getrusage would count the parent process
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field))

torch.set_num_threads({threads})
shapes = ([(768, 768)] * 4 + [(768, 3072), (3072, 768)]) * 12
model = nn.Sequential(*(nn.Linear(a, b, bias=False) for a, b in shapes))
Masks.globally(magnitude(nn.Linear(1000, 1000)), 0.1)  # libraries load their parts
scores = magnitude(model, lazy={lazy})
before = status("VmRSS")
masks = Masks.globally(scores, 0.1)
if {attach}:
    masks.attach(model)
peak = status("VmHWM")
weights = sum(p.numel() * p.element_size() for p in model.parameters())
print(json.dumps({{"copies": (peak - before) / weights}}))
"""


@pytest.mark.parametrize(("lazy", "attach"), [(False, False), (False, True), (True, True)])
def test_global_masks_take_less_than_one_copy_of_the_weights(benchmark, lazy, attach):
    """Beyond the model and its scores; with lazy scores, beyond the model alone."""
    if benchmark.disabled or not sys.platform.startswith("linux"):
        pytest.skip("measured by `make bench` on Linux")
    code = PROBE.format(threads=THREADS, lazy=lazy, attach=attach)

    def measure() -> float:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout)["copies"]

    copies = benchmark.pedantic(measure, rounds=1)
    benchmark.extra_info["copies_of_the_weights"] = copies
    print(f"\npeak extra memory {copies:.2f} copies of the weights (lazy={lazy}, attach={attach})")
    assert 0 < copies <= 1
