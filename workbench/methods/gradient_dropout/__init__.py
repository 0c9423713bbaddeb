"""Gradient dropout (thesis chapter 10): GradDrop, its variants, and gradual unfreezing.

    dropout = GradientDropout(model, p=0.2, granularity="layer").attach(optimizer)

For ``transformers.Trainer`` see ``gradient_dropout.trainer.GradientDropoutCallback``.
"""

from workbench.methods.gradient_dropout.attachment import GradientMask
from workbench.methods.gradient_dropout.dropout import GradientDropout
from workbench.methods.gradient_dropout.layers import layer_of, maskable_parameters

__all__ = ["GradientDropout", "GradientMask", "layer_of", "maskable_parameters"]
