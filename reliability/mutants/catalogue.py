"""All mutants."""

from reliability.mutants import (
    connection_bugs,
    domain_bugs,
    gateway_bugs,
    storage_bugs,
    worker_bugs,
)
from reliability.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    *domain_bugs.MUTANTS,
    *storage_bugs.MUTANTS,
    *worker_bugs.MUTANTS,
    *gateway_bugs.MUTANTS,
    *connection_bugs.MUTANTS,
)
