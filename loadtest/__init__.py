"""Load for any Holdfast, through its queue or over HTTP, with a report and checked books."""
