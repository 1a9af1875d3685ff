"""Train with any learning-rate schedule, see what it does, and compare."""

__version__ = "0.1.0"
