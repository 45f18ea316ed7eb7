"""`python -m bodystream` is the `bodystream` command."""

from bodystream.cli.main import main

if __name__ == "__main__":
    main()
