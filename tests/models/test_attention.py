"""Thesis equations 10.1 and 10.2, corrected, are what the encoders compute."""

import torch
from torch.nn import functional as F
from transformers import BertConfig, BertModel


def layer():
    """One encoder layer with four heads, in float64, with gains and biases that are not trivial."""
    torch.manual_seed(0)
    sizes = dict(hidden_size=32, num_attention_heads=4, intermediate_size=48, num_hidden_layers=1)
    model = BertModel(BertConfig(vocab_size=20, **sizes), add_pooling_layer=False)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.double().eval().encoder.layer[0]


def heads(bert, x):
    """Softmax(Q K^T / sqrt(l)) V of each head, side by side: (batch, tokens, hidden)."""
    attention, found = bert.attention.self, []
    maps = [attention.query, attention.key, attention.value]
    query, key, value = (linear(x).split(8, dim=-1) for linear in maps)
    for q, k, v in zip(query, key, value, strict=True):
        # Corrected: the root of l = 8, the width of a head, and not of d l = 256.
        found.append(F.softmax(q @ k.transpose(-1, -2) / 8**0.5, dim=-1) @ v)
    return torch.cat(found, dim=-1)


def test_equation_10_1_corrected_is_the_attention_of_the_encoders():
    bert, x = layer(), torch.randn(2, 5, 32, dtype=torch.float64)
    with torch.no_grad():
        ours = heads(bert, x)
        theirs = bert.attention.self(x)[0]
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_equation_10_2_corrected_is_a_layer_of_the_encoders():
    """With the output projection and the second residual and norm, which the thesis leaves out."""
    bert, x = layer(), torch.randn(2, 5, 32, dtype=torch.float64)
    with torch.no_grad():
        attended = bert.attention.output.dense(heads(bert, x))
        z = bert.attention.output.LayerNorm(attended + x)
        inner = bert.output.dense(F.gelu(bert.intermediate.dense(z)))
        ours = bert.output.LayerNorm(inner + z)
        found = bert(x)
        theirs = found[0] if isinstance(found, tuple) else found
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
        printed = bert.output.LayerNorm(inner)  # without the second residual
        assert not torch.allclose(printed, theirs, rtol=1e-2, atol=1e-2)
