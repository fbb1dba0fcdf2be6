"""`chorus` and `python -m chorus`: the command line, whose loading Ctrl-C may interrupt without a traceback."""

import sys


def main() -> None:
    """Run the command line; exit with 130 where Ctrl-C ends it."""
    try:
        from chorus.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
