"""All mutants."""

from reliability.mutants.bugs import connection, domain, gateway, payments, storage, worker
from reliability.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    *domain.MUTANTS,
    *storage.MUTANTS,
    *worker.MUTANTS,
    *gateway.MUTANTS,
    *connection.MUTANTS,
    *payments.MUTANTS,
)
