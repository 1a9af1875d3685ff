"""`python -m lrlab.find_lr` is `lrlab find-lr`."""

from lrlab.commands.find_lr import main

if __name__ == "__main__":
    main()
