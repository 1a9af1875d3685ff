"""`python -m lrlab.noise` is `lrlab noise`."""

from lrlab.commands.noise import main

if __name__ == "__main__":
    main()
