"""From a data set to batches: splits, augmentation, and where the images are kept.

A data set of one's own returns `Splits`.
"""

from lrlab.data.splits import Fixed, Images, MapDataset, Splits

__all__ = ["Fixed", "Images", "MapDataset", "Splits"]
