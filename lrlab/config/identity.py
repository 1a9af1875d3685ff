"""What makes a run the run that it is: asked here by resume, sweeps, comparisons and the HPARAMS tab."""

from collections.abc import Mapping
from typing import Any

from lrlab.config.secrets import mask

# Where a run reads and computes, not what.
MACHINE = (
    *(
        "data.root",
        "data.download",
        "data.workers",
        "data.prefetch",
        "data.timeout",
        "data.cache",
        "data.cache_bytes",
        "data.cache_dir",
    ),
    "trainer.device",
    "trainer.timeout",
)
NO_SETTING = ("resume", "extend", "sweep", "checkpoint.every", *MACHINE)  # they do not make a run another run


def identity(config: dict[str, Any]) -> dict[str, Any]:
    """What makes a run the run it is: its settings without those that say where it reads and computes.

    `data.root` is left out only where the data set has a name: a folder of images is told by nothing but its path.
    """
    flat = flatten(mask(config))
    kept = {"data.root"} if flat.get("data._target_") != "lrlab.data.datasets.torchvision_images" else set()
    return {key: value for key, value in sorted(flat.items()) if key not in NO_SETTING or key in kept}


def fingerprint(settings: dict[str, Any]) -> str:
    """The same text for the same settings: 1 is 1.0, and NaN is itself."""
    plain = {key: _number(value) for key, value in settings.items()}
    return repr(sorted(plain.items()))


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
