"""``python -m relion_external``: the same command as ``relion-external``."""

from __future__ import annotations

import sys

from relion_external.cli import main

if __name__ == "__main__":
    sys.exit(main())
