"""Makes MuJoCo importable, which `bash ros/setup.sh ensure_sim` put under .ros/sim. It comes last on the
path, so that the numpy that ROS was built for stays the one that is used."""

import sys
from pathlib import Path

PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / ".ros" / "sim" / "lib" / PYTHON / "site-packages"))
