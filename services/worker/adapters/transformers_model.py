"""A model of the Hugging Face libraries in this process: weights, tokenizer, chat template."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers.decoders import DecodeStream
from transformers import AutoModelForCausalLM, AutoTokenizer

from services.core.errors import ConfigError, ConfigProblem, EngineError
from services.worker.generation import Message


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that is ready.

    Attributes:
        model: in evaluation mode, on its device.
        tokenizer: its tokenizer, with a chat template.
        stop_ids: tokens that end an answer.

    """

    model: Any
    tokenizer: Any
    stop_ids: frozenset[int]

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """The chat as the model's template writes it. Raises what the template raises."""
        chat = [{"role": message.role, "content": message.content} for message in messages]
        ids = self.tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
        return [int(token) for token in ids]

    def decoder(self) -> "TextDecoder":
        """For one answer."""
        return TextDecoder(self.tokenizer.backend_tokenizer)


class TextDecoder:
    """From tokens to text, whole characters at a time; special tokens have none."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer, self._stream = tokenizer, DecodeStream(skip_special_tokens=True)

    def text(self, token: int) -> str:
        """What a token adds."""
        return self._stream.step(self._tokenizer, token) or ""


def load_model(source: str, threads: int, context_window_tokens: int) -> LoadedModel:
    """Loads a local directory or a repository of the hub; bfloat16 on a GPU, float32 without.

    Raises EngineError where that fails, ConfigError where the model's context is shorter than asked for.
    """
    torch.set_num_threads(threads)
    device, dtype = ("cuda", torch.bfloat16) if torch.cuda.is_available() else ("cpu", torch.float32)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        model = AutoModelForCausalLM.from_pretrained(source, dtype=dtype).to(device).eval()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise EngineError(f"transformers cannot load {source}: {str(error)[:500]}") from error
    if not tokenizer.chat_template:
        remedy = "use a model that was tuned for chat, or put a chat_template.jinja beside it"
        raise EngineError(f"the tokenizer of {source} has no chat template: {remedy}")
    longest = getattr(model.config, "max_position_embeddings", None)
    if longest is not None and longest < context_window_tokens:
        allowed = f"must be at most {longest}, the longest context of {source}"
        own = str(context_window_tokens)
        raise ConfigError([ConfigProblem(f"model {source}", "context_window_tokens", own, allowed)])
    return LoadedModel(model, tokenizer, _stop_ids(model, tokenizer))


def _stop_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    ids = model.generation_config.eos_token_id
    found = list(ids) if isinstance(ids, list | tuple) else [ids]
    return frozenset(int(token) for token in [*found, tokenizer.eos_token_id] if token is not None)
