"""Layer fusion (thesis chapter 8): similar layers of a network become one, stored once.

weights = layer_fusion.layer_weights(model)              # layer name -> (outputs, inputs)
pairs = layer_fusion.rank_pairs(weights, 4, measure, larger_is_closer=False)
layer_fusion.fuse(model, pairs, how="mean")              # or freeze, mix, transport
layer_fusion.save(model, "small.safetensors")            # and load: fused again
"""

from workbench.methods.layer_fusion.combining import combine
from workbench.methods.layer_fusion.fusing import fuse, unfuse
from workbench.methods.layer_fusion.gradients import divergence_shares
from workbench.methods.layer_fusion.intervals import Compression, intervals
from workbench.methods.layer_fusion.layers import fusible_layers, kind_of, layer_weights
from workbench.methods.layer_fusion.ranking import pairs_to_reach, rank_pairs
from workbench.methods.layer_fusion.saving import load, save
from workbench.methods.layer_fusion.transport import align
from workbench.methods.layer_fusion.tying import tied_layers

__all__ = [
    "Compression",
    "align",
    "combine",
    "divergence_shares",
    "fuse",
    "fusible_layers",
    "intervals",
    "kind_of",
    "layer_weights",
    "load",
    "pairs_to_reach",
    "rank_pairs",
    "save",
    "tied_layers",
    "unfuse",
]
