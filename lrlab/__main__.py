"""`python -m lrlab` is `python train.py`, wherever lrlab is installed."""

from lrlab.commands.train import main

if __name__ == "__main__":
    main()
