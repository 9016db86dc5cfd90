"""`python -m ann` is the `ann` command."""

from ann.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
