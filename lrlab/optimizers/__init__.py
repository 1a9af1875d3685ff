"""Optimizers that torch lacks, as classes of torch's kind, and those of other packages by functions of one form.

    lion       the sign of a momentum, one average a weight
    muon       orthogonalized momentum for matrices, and AdamW for all else
    averages   what both keep of each weight
    layers     which parameters of a model are the weights of its hidden layers
    packages   schedulefree's and prodigyopt's, where they are installed

Nothing here knows a config or a schedule: `optimizer=NAME` does the rest.
"""

from lrlab.optimizers.lion import Lion
from lrlab.optimizers.muon import Muon
from lrlab.optimizers.packages import prodigy, schedule_free

__all__ = ["Lion", "Muon", "prodigy", "schedule_free"]
