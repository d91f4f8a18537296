"""`python -m gateway` is `spangate`."""

from gateway.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
