#!/usr/bin/env python3
"""Run a sweep, many pictures from one file, or trainings of styles, on this machine or a Slurm cluster.

python scripts/submit.py configs/sweeps/content_layer.yaml
python scripts/submit.py configs/sweeps/content_layer.yaml --jobs 2 --set size=128 --output output/sweeps/small
python scripts/submit.py configs/sweeps/content_layer.yaml --cluster slurm --partition gpu --time 4:00:00
python scripts/submit.py configs/sweeps/content_layer.yaml --status
python scripts/submit.py configs/train/night.yaml --cluster slurm --time 4:00:00
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from styletransfer.cli.submit import main

if __name__ == "__main__":
    sys.exit(main())
