"""Runs a module as `python -m` does, and lets everybody in its process log at debug level."""

import logging
import os
import runpy

# The first call counts: the module's own, for the level of production, does nothing any more.
logging.basicConfig(level=logging.DEBUG)
runpy.run_module(os.environ["MODULE_AT_DEBUG_LEVEL"], run_name="__main__", alter_sys=True)
