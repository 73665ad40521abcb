"""The demo provider: a page that pays at a click, though no money moves."""
