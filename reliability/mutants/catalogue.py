"""All mutants."""

from reliability.mutants.bugs import (
    connection,
    domain,
    gateway,
    orders,
    payments,
    storage,
    worker,
)
from reliability.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    *domain.MUTANTS,
    *orders.MUTANTS,
    *storage.MUTANTS,
    *worker.MUTANTS,
    *gateway.MUTANTS,
    *connection.MUTANTS,
    *payments.MUTANTS,
)
