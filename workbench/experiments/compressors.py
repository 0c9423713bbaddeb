"""The ways of chapter 8 to make a network smaller, to a share of its layers' stored bytes."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from workbench.experiments.layer_pairs import Pair, blind_seed, closest_pairs, similarities
from workbench.experiments.training import derive
from workbench.methods.layer_fusion import fuse, fusible_layers, pairs_to_reach, tied_layers
from workbench.methods.storage import stored_bytes

if TYPE_CHECKING:
    from workbench.experiments.layer_fusion import LayerFusion
    from workbench.experiments.problems import Problem

RECONSTRUCTED_ON = 2
"""Training batches that reconstructions are fitted to."""
MOST_CLUSTERS = 256
"""Codes of a byte; more of them change nothing but the time it takes. So weight sharing takes a
quarter of the bytes where it might take more."""
DROPPED = 0.5
"""Rate of LayerDrop, that of Table 8.4."""


class Unreachable(ValueError):
    """The method cannot make this network so small."""


class Bytes:
    """How large the layers of a network that may be made smaller are, against the whole one's."""

    def __init__(self, whole: nn.Module) -> None:
        parameters = {
            id(p): p for layer in fusible_layers(whole).values() for p in layer.parameters.values()
        }
        self.total = stored_bytes(whole)
        self.layers = sum(p.numel() * p.element_size() for p in parameters.values())
        self.weights = sum(p.numel() for p in parameters.values() if p.ndim > 1)
        self.biases = sum(p.numel() * 4 for p in parameters.values() if p.ndim == 1)
        self.rest = self.total - self.layers

    def share(self, stored: int) -> float:
        """What is left of the bytes of those layers, all else being as large as it was."""
        return (stored - self.rest) / self.layers


class Compressor:
    """The base, and the control: nothing gets smaller."""

    afresh = False
    """Whether each share starts from the whole network: the last step cannot be made smaller."""

    def __init__(self, experiment: LayerFusion, problem: Problem, whole: nn.Module) -> None:
        self.experiment, self.problem, self.whole = experiment, problem, whole
        self.sizes = Bytes(whole)
        self.shared: tuple[str, ...] = ()
        """Parameters that hold few values, each of which is stored once."""

    def compress(self, network: nn.Module, share: float, step: int) -> nn.Module:
        """Make ``network`` (a copy of the whole one, or what the last step left) smaller.

        Raises :class:`Unreachable` where it cannot be as small as ``share``; then nothing changed.
        """
        return network

    def finished(self, network: nn.Module) -> nn.Module:
        """The network as it would be stored."""
        return network

    def hold(self, network: nn.Module, optimizer: Any) -> Any:
        """Keep it as small while it trains; gives something with ``remove()``, or None."""
        return None

    def stored(self, network: nn.Module) -> int:
        """Bytes of the stored network."""
        return stored_bytes(self.finished(network), shared=self.shared)

    def kept(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and settings from which :meth:`restore` makes the same structure."""
        return {}, {}

    def restore(
        self, network: nn.Module, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]
    ) -> nn.Module:
        """A copy of the whole network in the form of the last step, weights still its own."""
        return network


class Fusion(Compressor):
    """Layers that are alike become one (Algorithm 3)."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.pairs: list[Pair] = []

    def compress(self, network: nn.Module, share: float, step: int) -> nn.Module:
        e = self.experiment
        batch = self.problem.batches(1, e.batch_size, e.seed, "activations", step)[0]
        matrices = similarities(network, e.measure, batch=batch, seed=blind_seed(e.seed, 0))
        ranked = closest_pairs(matrices, e.measure, neighbours=e.neighbours, evenly=e.evenly)
        known = {frozenset(pair[:2]) for pair in self.pairs}
        ahead = [pair for pair in ranked if frozenset(pair[:2]) not in known]
        ranked = self.pairs + ahead
        try:
            count = len(pairs_to_reach(self.whole, [pair[:2] for pair in ranked], share))
        except ValueError as error:
            raise Unreachable(str(error)) from error
        chosen = ranked[: max(count, len(self.pairs))]
        new = [pair[:2] for pair in chosen[len(self.pairs) :]]
        if new:
            seed = derive(e.seed, "mix", step)
            try:
                fuse(network, new, e.fusing, seed=seed, gradients=self._gradients())
            except ValueError as error:  # units that cannot be matched; nothing was changed
                raise Unreachable(str(error)) from error
        self.pairs = chosen
        return network

    def _gradients(self) -> Any:
        e = self.experiment
        return e.gradients if e.gradients != "kept" or e.fusing == "freeze" else "sum"

    def kept(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        return {}, {"pairs": [list(pair) for pair in self.pairs]}

    def restore(
        self, network: nn.Module, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]
    ) -> nn.Module:
        self.pairs = [Pair(*pair) for pair in meta["pairs"]]
        if self.pairs:
            fuse(network, [pair[:2] for pair in self.pairs], "mean", gradients=self._gradients())
        return network


class Pruning(Compressor):
    """The smallest weights go, of each layer or of all."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.masks: Any = None

    def compress(self, network: nn.Module, share: float, step: int) -> nn.Module:
        from workbench.methods.pruning import Masks

        scores = {
            f"{name}.{layer.weight}": layer.parameters[layer.weight].detach().abs()
            for name, layer in fusible_layers(network).items()
        }
        # A bit for each weight says which are stored; biases are stored whole.
        room = share * self.sizes.layers - self.sizes.biases - self.sizes.weights / 8
        density = room / (4 * self.sizes.weights)
        if density <= 0:
            raise Unreachable(f"the mask alone takes more than a share of {share}.")
        layerwise = self.experiment.compression == "layer_pruning"
        make = Masks.layerwise if layerwise else Masks.globally
        self.masks = make(scores, min(density, 1.0), within=self.masks)
        self.masks.apply(network)
        return network

    def hold(self, network: nn.Module, optimizer: Any) -> Any:
        self.masks.attach(network, optimizer)
        return _Called(self.masks.detach)

    def kept(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        return {name: mask.cpu().numpy() for name, mask in self.masks.state_dict().items()}, {}

    def restore(
        self, network: nn.Module, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]
    ) -> nn.Module:
        from workbench.methods.pruning import Masks

        self.masks = Masks({n: torch.from_numpy(np.array(a)) for n, a in arrays.items()})
        return network


class WeightSharing(Compressor):
    """Every layer keeps a few values, and a code for each weight (k-means)."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.clusters: dict[str, Any] = {}

    def compress(self, network: nn.Module, share: float, step: int) -> nn.Module:
        from workbench.methods.weight_sharing import clusters_to_reach, share_weights

        self.clusters = {}
        room = (share * self.sizes.layers - self.sizes.biases) / (4 * self.sizes.weights)
        if room <= 0:
            raise Unreachable(f"biases alone take more than a share of {share}.")
        for name, layer in fusible_layers(network).items():
            weight = layer.parameters[layer.weight]
            count = min(clusters_to_reach(weight.numel(), room), MOST_CLUSTERS)
            self.clusters |= share_weights(
                network,
                clusters=count,
                start="density",
                rule=lambda path, _, name=name: path == name,
            )
        self.shared = tuple(self.clusters)
        return network

    def hold(self, network: nn.Module, optimizer: Any) -> Any:
        from workbench.methods.weight_sharing import hold

        return hold(network, self.clusters, getattr(optimizer, "optimizer", optimizer))

    def kept(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        return {}, {"shared": list(self.shared)}

    def restore(
        self, network: nn.Module, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]
    ) -> nn.Module:
        self.shared = tuple(meta["shared"])  # the next step finds clusters of its own
        return network


class Decomposition(Compressor):
    """Every layer becomes two thin ones (truncated SVD)."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.keep = 1.0

    def compress(self, network: nn.Module, share: float, step: int) -> nn.Module:
        from workbench.methods.decomposition import decompose, merge

        merge(network)
        try:
            decompose(network, share, seed=derive(self.experiment.seed, "svd") % 2**31)
        except ValueError as error:
            raise Unreachable(str(error)) from error
        self.keep = share
        return network

    def kept(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        return {}, {"keep": self.keep}

    def restore(
        self, network: nn.Module, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]
    ) -> nn.Module:
        return self.compress(network, meta["keep"], 0)


class Reconstruction(Compressor):
    """Every layer becomes two, fitted in turn to what the whole network's layer puts out."""

    afresh = True

    def compress(self, network: nn.Module, share: float, step: int) -> nn.Module:
        from workbench.methods.layer_reconstruction import reconstruct

        e = self.experiment
        small = copy.deepcopy(self.whole)
        batches = self.problem.batches(RECONSTRUCTED_ON, e.batch_size, e.seed, "reconstruction")
        device = next(small.parameters()).device
        batches = [{name: t.to(device) for name, t in batch.items()} for batch in batches]
        kind = "autoencoder" if e.compression == "autoencoder" else "linear"
        seed = derive(e.seed, "reconstruction") % 2**31
        try:
            reconstruct(small, batches, share, kind=kind, steps=e.reconstruction_steps, seed=seed)
        except ValueError as error:
            raise Unreachable(str(error)) from error
        return small


class LayerRemoval(Compressor):
    """Whole layers go, spread evenly."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.removed: list[list[int]] = []

    def compress(self, network: nn.Module, share: float, step: int) -> nn.Module:
        small, numbers = self._removed(network, share)
        if numbers:
            self.removed.append(numbers)
        return small

    def _removed(self, network: nn.Module, share: float) -> tuple[nn.Module, list[int]]:
        """A copy without as many layers as it takes, and their numbers."""
        from workbench.methods.layer_removal import layers_to_remove, removable, remove_layers

        if self.sizes.share(stored_bytes(network)) <= share:
            return copy.deepcopy(network), []
        try:
            count = len(removable(network))
        except ValueError as error:
            raise Unreachable(str(error)) from error
        for gone in range(1, count + 1):
            numbers = layers_to_remove(count, gone) if gone < count else list(range(count))
            small = copy.deepcopy(network)
            try:
                remove_layers(small, numbers)
            except ValueError:  # of layers one has to stay
                break
            if self.sizes.share(stored_bytes(small)) <= share:
                return small, numbers
        raise Unreachable(f"what is left of {count} layers is more than a share of {share}.")

    def kept(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        return {}, {"removed": self.removed}

    def restore(
        self, network: nn.Module, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]
    ) -> nn.Module:
        from workbench.methods.layer_removal import remove_layers

        self.removed = [list(numbers) for numbers in meta["removed"]]
        for numbers in self.removed:
            remove_layers(network, numbers)
        return network


class LayerDropping(LayerRemoval):
    """Layers are left out at random in training, and removed only when it is stored."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.share = 1.0

    def compress(self, network: nn.Module, share: float, step: int) -> nn.Module:
        self._removed(network, share)  # raises where it cannot be
        self.share = share
        return network

    def finished(self, network: nn.Module) -> nn.Module:
        return self._removed(network, self.share)[0]

    def hold(self, network: nn.Module, optimizer: Any) -> Any:
        from workbench.methods.layer_removal import LayerDrop

        return LayerDrop(network, DROPPED)  # draws from torch, which each update seeds

    def kept(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        return {}, {}

    def restore(
        self, network: nn.Module, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]
    ) -> nn.Module:
        return network


COMPRESSORS: dict[str, type[Compressor]] = {
    "none": Compressor,
    "fusion": Fusion,
    "layer_pruning": Pruning,
    "global_pruning": Pruning,
    "kmeans": WeightSharing,
    "svd": Decomposition,
    "autoencoder": Reconstruction,
    "rollout": Reconstruction,
    "layer_removal": LayerRemoval,
    "layer_drop": LayerDropping,
}


def distinct_layers(network: nn.Module) -> int:
    """How many layers are stored: those that are fused count as one."""
    return len(fusible_layers(network)) - sum(len(group) - 1 for group in tied_layers(network))


class _Called:
    """A handle whose ``remove()`` calls something."""

    def __init__(self, function: Any) -> None:
        self.remove = function
