"""Several runs in one step: their parameters as tensors with a run in each row, updated together."""

FORMS = ("eager", "compiled")  # of the arithmetic, which decides the last bits of a run; the others do not
