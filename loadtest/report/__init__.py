"""The report of a run: figures, sentences, charts, and the page."""
