"""`python -m digitmlp` is `digitmlp`."""

from digitmlp.cli import main

if __name__ == "__main__":
    main()
