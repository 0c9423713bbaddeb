"""A BERT of 2 layers and 32 units with a tokenizer of its own, built in code for tests.

The tokenizer knows a hundred common words, single characters of English text, and bytes, so any
text in any script gets tokens and nothing is unknown.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import BertModel, PreTrainedTokenizerFast

SEED = 0
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_WORDS = """
a about actor after all also always am an and animal answer any are art as at bad be beautiful
because best better big book boring but by can city color country day do does dog down earth eat
even ever face family fast film flag food for from fun funny game get good great had hand happy has
have he heart her here him his house how i if in is it its joke just know life like love made make
man me money more most movie much music my name never new no not now of old on one only or other
our out people planet play plot poor red sad science script she so some sport star story such tell
than that the their them then there they thing think this time to too tree true two up us very was
water way we well what when where which who why will with woman word work world worst would yes you
your
""".split()


def tokenizer() -> PreTrainedTokenizerFast:
    """Lower-cased words where known, else characters, else UTF-8 bytes."""
    # transformers takes seconds to import; the registry never gets here.
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokens = [*_SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens += sorted({*_WORDS, *string.ascii_lowercase, *string.digits, *string.punctuation})
    vocabulary = {token: index for index, token in enumerate(tokens)}
    core = Tokenizer(
        models.BPE(vocabulary, merges=[], unk_token="[UNK]", byte_fallback=True, ignore_merges=True)
    )
    core.normalizer = normalizers.BertNormalizer(lowercase=True)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=512,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def model(vocabulary: int) -> BertModel:
    """Random weights, the same on each call; the caller's random state is left alone."""
    import torch
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=512,
        pad_token_id=0,
        architectures=["BertModel"],
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return BertModel(config, add_pooling_layer=False).eval()
