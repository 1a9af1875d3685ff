"""Every mistake is one line (got, allowed, do) and exit code 1; nothing is left behind."""


