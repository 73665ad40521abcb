"""`python -m loadtest queue|http`: sends load, checks the books and writes a report."""

import sys

import uvloop

from loadtest.arguments import read_arguments
from loadtest.http.run import run_http
from loadtest.options import QueueOptions
from loadtest.progress import Progress, say
from loadtest.queue.amqp import BrokerError
from loadtest.queue.client import PreparationError
from loadtest.queue.run import run_queue
from loadtest.report.page import write_report
from loadtest.report.wording import summary


def main() -> int:
    """Return 0 if the books balance, 1 if they do not, 2 if there was no run."""
    options, folder = read_arguments(sys.argv[1:])
    progress = Progress()
    try:
        if isinstance(options, QueueOptions):
            result = uvloop.run(run_queue(options, progress))
        else:
            result = uvloop.run(run_http(options, progress))
    except (BrokerError, PreparationError) as error:
        say(str(error))
        return 2
    except KeyboardInterrupt:
        say("stopped before the run")
        return 2
    for line in summary(result):
        say(line)
    if folder is not None:
        say(f"report: {write_report(result, folder)}")
    return 0 if result.passed else 1


if __name__ == "__main__":
    sys.exit(main())
