"""`python -m lrlab ...` trains as `python train.py` does, and `python -m lrlab COMMAND ...` is `lrlab COMMAND ...`."""

from lrlab.commands.main import module

if __name__ == "__main__":
    module()
