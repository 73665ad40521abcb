"""Load tests for any deployment, through the queue or over HTTP, with checked books."""
