"""`python -m lrlab.compare` is `lrlab compare`."""

from lrlab.commands.compare import main

if __name__ == "__main__":
    main()
