"""What labelings may be: the router refuses others, the feedback service again; protos tell clients."""

MAX_REFERENCE_BYTES = 16_384
"""Of a reference answer's text; it has at least one byte."""

REFERENCE_METRICS = ("exact", "numeric", "contains", "bleu1", "rouge1")
"""Ways to compare an answer with a reference; the first is the default."""

MAX_REGEX_BYTES = 1024
"""Of a verifier's regular expression; it has at least one byte."""

MAX_SCHEMA_BYTES = 16_384
"""Of a verifier's JSON Schema; it has at least one byte."""
