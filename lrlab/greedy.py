"""Moved to `lrlab.lr.greedy`; the old names go on."""

from lrlab.moved import forward

__getattr__ = forward(__name__)
