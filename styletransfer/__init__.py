"""Neural style transfer by optimisation (Gatys et al. 2015) on MXNet's symbolic executors."""

import sys

from styletransfer.support.project import PROJECT_FOLDER

# The networks, `models`, lie in the project; installed, they are found by this library and pollute no other's names.
if str(PROJECT_FOLDER) not in sys.path:
    sys.path.insert(0, str(PROJECT_FOLDER))
