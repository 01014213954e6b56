"""The cache for one compilation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from graphc.pass_cache.pass_cache import PassCache, cache_folder, cache_limit
from graphc.spec.spec_file import SpecFile

CONTENT = ("model", "reads", "external", "passes", "compiler", "versions")


def cache_for(
    fingerprint: Mapping[str, Any], spec_file: SpecFile, inputs: Sequence[Sequence[str]], reads: bool
) -> PassCache | None:
    """The cache, keyed by everything that passes depend on besides their own options. None if its size limit is 0.

    Args:
        inputs: names and options of the passes anywhere in the spec that replace inputs of the model.
        reads: whether entries are used; if not, they are only written.
    """
    if not cache_limit():
        return None
    spec, stream = spec_file.spec, spec_file.spec.stream
    parts = {name: fingerprint[name] for name in CONTENT}
    parts |= {"target": spec.target, "stream": stream.model_dump_json() if stream is not None else None}
    content = json.dumps({**parts, "inputs": inputs}, sort_keys=True)
    return PassCache(cache_folder(), cache_limit(), content, spec_file.model_path.parent, reads)
