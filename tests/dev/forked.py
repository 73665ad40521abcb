"""A process that says what its environment has, and ends as it is told."""

import os
import sys
import time

if __name__ == "__main__":
    sys.stdout.write(f"{os.environ['SAYS']} {sorted(os.environ)}\n")
    sys.stdout.flush()
    time.sleep(float(os.environ["SECONDS"]))
    sys.exit(int(os.environ["CODE"]))
