"""Machines of Microsoft's predictive-maintenance guide: error codes, replacements, failures."""

from collections import defaultdict
from datetime import timedelta
from pathlib import Path

import numpy as np

from anomaly.learn.history import Catalog, History
from bench.evaluate.readers.tables import instant_us, rows_of
from core.errors import InvalidError
from core.product import FailureMode, Metric, Product

HOUR_US = 3_600_000_000


def read(folder: Path) -> tuple[Catalog, list[History]]:
    """Return one history per machine; a failure of a component is recorded with its replacement."""
    failures = _events(folder, "PdM_failures.csv", "failure")
    services = _events(folder, "PdM_maint.csv", "comp")
    errors = _events(folder, "PdM_errors.csv", "errorID")
    machines = list(rows_of(folder, "PdM_machines.csv", columns=("machineID", "model", "age")))
    if not machines or not errors:
        raise InvalidError(f"{folder} has no machines or no errors", hint="are the files whole?")
    components = sorted({c for of in (failures, services) for past in of.values() for _, c in past})
    codes = sorted({code for past in errors.values() for _, code in past})
    seen = sorted(at for of in (errors, failures) for past in of.values() for at, _ in past)
    begins, ends = seen[0] // HOUR_US * HOUR_US, seen[-1]
    catalog = Catalog(_product(components))
    modes = {mode.component: place for place, mode in enumerate(catalog.product.failure_modes)}
    histories = []
    for machine in machines:
        name = machine["machineID"]
        error, service, failure = (of.get(name, []) for of in (errors, services, failures))
        histories.append(
            History(
                device=name,
                begins_us=begins,
                until_us=ends,
                values=np.empty((0, 0)),
                event_us=_instants(error),
                event_metric=np.zeros(len(error), dtype=np.int64),
                event_code=np.array([codes.index(c) + 1 for _, c in error], dtype=np.int64),
                service_us=_instants(service),
                service_component=np.array(
                    [catalog.components.index(c) for _, c in service], dtype=np.int64
                ),
                failure_us=_instants(failure),
                failure_mode=np.array([modes[c] for _, c in failure], dtype=np.int64),
                traits={"model": machine["model"], "age_years": machine["age"]},
            )
        )
    return catalog, histories


def _events(folder: Path, name: str, what: str) -> dict[str, list[tuple[int, str]]]:
    """Instants and names per machine, in the order of time."""
    found: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for row in rows_of(folder, name, columns=("datetime", "machineID", what)):
        found[row["machineID"]].append((instant_us(row["datetime"], where=name), row[what]))
    return {machine: sorted(past) for machine, past in found.items()}


def _instants(past: list[tuple[int, str]]) -> np.ndarray:
    return np.array([at for at, _ in past], dtype=np.int64)


def _product(components: list[str]) -> Product:
    return Product(
        name="azure_pdm",
        title="Machine of the predictive-maintenance guide",
        manufacturer="Microsoft (simulated)",
        interval=timedelta(hours=1),
        window=timedelta(hours=1),
        learning=timedelta(days=14),
        forecast_every=timedelta(hours=3),
        late_after=timedelta(hours=1),
        history_max=timedelta(days=3650),
        metrics=(Metric(name="error", title="Error", unit="code", low=0, high=1e6, kind="code"),),
        failure_modes=tuple(
            FailureMode(
                name=f"{component}_fails", title=f"Failure of {component}", component=component,
                evidence=(), cost_of_failure=5000, cost_of_visit=500,
                lead_time=timedelta(hours=24),
            )
            for component in components
        ),
    )  # fmt: skip
