"""``python -m styletransfer`` is the same as the installed command ``nstyle``."""

import sys

from styletransfer.cli import main

if __name__ == "__main__":
    sys.exit(main(program="python -m styletransfer"))
