"""`python -m lrlab.cooldown` is `lrlab cooldown`."""

from lrlab.commands.cooldown import main

if __name__ == "__main__":
    main()
