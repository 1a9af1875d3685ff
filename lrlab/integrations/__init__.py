"""Other people's loops, schedulers and loggers. Each room needs the library that it is named after.

lightning      a callback: the LR watched and logged, and a folder that `lrlab compare` reads
transformers   the same for the Trainer; schedules there and back
timm           schedules there and back
optax, keras   schedules there
loop           the same folder from a loop of one's own
"""
