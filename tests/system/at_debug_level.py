"""Runs a module as `python -m` does, with all loggers of the process at debug level."""

import logging
import os
import runpy

# Only the first call has an effect, so the module's own call does not reset the level.
logging.basicConfig(level=logging.DEBUG)
runpy.run_module(os.environ["MODULE_AT_DEBUG_LEVEL"], run_name="__main__", alter_sys=True)
