"""``python -m styletransfer`` does what the installed command ``nstyle`` does."""

import sys

from styletransfer.cli import main

if __name__ == "__main__":
    sys.exit(main(program="python -m styletransfer"))
