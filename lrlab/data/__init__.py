"""From a data set to batches: splits, augmentation, and where the images are kept.

A data set of one's own returns `Splits`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lrlab.data.map_datasets import Fixed, Images, MapDataset, Tensors
    from lrlab.data.splits import Splits

__all__ = ["Fixed", "Images", "MapDataset", "Splits", "Tensors"]


def __getattr__(name: str) -> Any:
    """The public names, loaded when asked for: they need torch, which not every room of this package does."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lrlab.data import map_datasets, splits

    return getattr(splits if name == "Splits" else map_datasets, name)
