"""What the tests of experiments share: a learnable task, and runs that compare bit for bit."""

import numpy as np
import pytest

from workbench.observations import Array, Progress, Scalar


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A task that is learnable: the label is told by one word."""
    path = tmp_path_factory.mktemp("task")
    rng = np.random.default_rng(0)
    nouns = "film book plot song play game cast tale".split()

    def rows(count, split):
        for i in range(count):
            good = i % 2
            word = "good fine great".split()[i % 3] if good else "bad poor dull".split()[i % 3]
            noun = " ".join(rng.permutation(nouns)[:4])
            yield f"{word} {noun} number {i} {split},{'yes' if good else 'no'}"

    for split, count in (("train", 80), ("validation", 40), ("test", 40)):
        lines = ["text,label", *rows(count, split)]
        (path / f"{split}.csv").write_text("\n".join(lines) + "\n")
    return path


def key(observation):
    """An observation as values that compare bit for bit."""
    if isinstance(observation, Scalar):
        labels = tuple(sorted(observation.labels.items()))
        return (observation.step, observation.name, labels, np.float64(observation.value).tobytes())
    if isinstance(observation, Array):
        return (observation.step, observation.name, observation.values.tobytes())
    return observation if isinstance(observation, Progress) else observation.step


@pytest.fixture(scope="session")
def measured():
    """The scalars and arrays among observations, as values that compare bit for bit."""
    return lambda observations: [key(o) for o in observations if isinstance(o, Scalar | Array)]
