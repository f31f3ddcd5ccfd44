"""Neural style transfer by optimisation (Gatys et al. 2015) on MXNet's symbolic executors."""

import sys

from styletransfer.support.project import PROJECT_FOLDER

# The networks, `models`, are in the project folder, which is inside the package if that is installed.
if str(PROJECT_FOLDER) not in sys.path:
    sys.path.insert(0, str(PROJECT_FOLDER))
