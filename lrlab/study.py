"""`python -m lrlab.study` is `lrlab study`."""

from lrlab.commands.study import main

if __name__ == "__main__":
    main()
