"""Edits the text of a zoo file in place, so that its comments and layout stay."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Span = tuple[int, int, str]
"""Characters from, to, and what stands there instead."""


@dataclass(frozen=True, slots=True)
class Edit:
    """What to change.

    Attributes:
        model: id of the model.
        batch: its new max_batch_size.
        surplus: so many of its workers go, the last ones.
        added: workers to add, as mappings of plain values.
        folder: of the file, which its profiles are relative to; they become absolute.

    """

    model: str
    batch: int
    surplus: int
    added: Sequence[Mapping[str, Any]]
    folder: Path


def edited(text: str, edit: Edit) -> str | None:
    """The changed text; None where the layout is one that this does not know (workers in one line, say)."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    models, workers = _child(root, "models"), _child(root, "workers")
    model = next((node for node in models.value if _text(node, "id") == edit.model), None)
    if model is None or workers.flow_style:
        return None
    own = [node for node in workers.value if _text(node, "model") == edit.model]
    spans = [_cap_span(text, model, edit.batch), *_profile_spans(models, edit.folder)]
    for node in own[len(own) - edit.surplus :]:
        start = text.rfind("\n", 0, node.start_mark.index) + 1
        spans.append((start, _line_end(text, node), ""))
    if edit.added:
        end = _line_end(text, own[-1])
        break_ = "" if text[:end].endswith("\n") else "\n"
        spans.append((end, end, break_ + "".join(_entry(own[-1], worker) for worker in edit.added)))
    for start, end, new in sorted(spans, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _profile_spans(models: Any, folder: Path) -> Iterator[Span]:
    for model in models.value:
        node: Any = model
        for key in ("prior", "profile", "file"):
            node = _child(node, key) if isinstance(node, yaml.MappingNode) else None
        if node is not None:
            path = folder / Path(node.value).expanduser()
            yield node.start_mark.index, node.end_mark.index, json.dumps(str(path))


def _cap_span(text: str, model: yaml.MappingNode, batch: int) -> Span:
    if (value := _child(model, "max_batch_size")) is not None:
        return value.start_mark.index, value.end_mark.index, str(batch)
    key, value = next(pair for pair in model.value if pair[0].value == "id")
    place = value.end_mark.index
    if model.flow_style:
        return place, place, f", max_batch_size: {batch}"
    end = text.find("\n", place)
    end = len(text) if end < 0 else end
    return end, end, f"\n{' ' * key.start_mark.column}max_batch_size: {batch}"


def _entry(like: yaml.MappingNode, worker: Mapping[str, Any]) -> str:
    """A line for a worker, indented as another one is."""
    values = yaml.safe_dump(dict(worker), sort_keys=False, default_flow_style=True, width=10_000).strip()
    return f"{' ' * (like.start_mark.column - 2)}- {values}\n"


def _line_end(text: str, node: yaml.Node) -> int:
    """Just behind the line in which a node ends; a block mapping ends where the next thing begins."""
    last = node
    while isinstance(last, yaml.MappingNode | yaml.SequenceNode) and not last.flow_style:
        tail = last.value[-1]
        last = tail[1] if isinstance(tail, tuple) else tail
    end = text.find("\n", last.end_mark.index)
    return len(text) if end < 0 else end + 1


def _child(node: Any, key: str) -> Any:
    return next((value for found, value in node.value if found.value == key), None)


def _text(node: Any, key: str) -> str:
    return str(_child(node, key).value)
