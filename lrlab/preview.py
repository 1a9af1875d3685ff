"""`python -m lrlab.preview` is `lrlab preview`."""

from lrlab.commands.preview import main

if __name__ == "__main__":
    main()
