"""A tiny chat model with random weights, written where transformers can load it; no hub is asked."""

from pathlib import Path

SPECIAL = ["<pad>", "<s>", "</s>", "<user>", "<end>"]
TEMPLATE = "<s>{% for m in messages %}<user>{{ m['content'] }}<end>{% endfor %}"


def write_tiny_model(folder: Path, window_tokens: int) -> Path:
    """A Llama of 2 layers whose tokens are bytes, so that characters are cut between tokens, and " word"."""
    import torch
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("w", "o"), ("wo", "r"), ("wor", "d"), ("Ġ", "word")]
    pieces = [*SPECIAL, *alphabet, *("".join(merge) for merge in merges)]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(piece, special=True) for piece in SPECIAL])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", bos_token="<s>")
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=window_tokens,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.5,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder
