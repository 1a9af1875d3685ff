"""Results for machines, `compare.json=FILE` and its like, in a form that stays.

`schema` names the form. What is added later leaves what is there as it is; anything else is another schema. Shares are
0..1. Numbers that are not known are null, and so are bounds that are infinite. docs/json.md describes every name.
"""

import json
import math
from pathlib import Path
from typing import Any

from lrlab import __version__
from lrlab.system import disk

SCHEMA = 1


def write(path: str, kind: str, contents: dict[str, Any]) -> None:
    """Write a result of the command `kind` as JSON."""
    said = {"schema": SCHEMA, "lrlab": __version__, "kind": kind, **contents}
    disk.write_whole(Path(path), json.dumps(finite(said), indent=2, allow_nan=False) + "\n")


def finite(value: Any) -> Any:
    """A value with null in the place of every number that JSON does not have."""
    if isinstance(value, dict):
        return {str(name): finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
