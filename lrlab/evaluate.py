"""`python -m lrlab.evaluate` is `lrlab evaluate`."""

from lrlab.commands.evaluate import main

if __name__ == "__main__":
    main()
