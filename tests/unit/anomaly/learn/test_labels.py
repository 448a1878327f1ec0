"""Findings and reported faults become labels."""

from anomaly.learn.history import Catalog
from anomaly.learn.labels import ReportedFault, labels_of
from anomaly.records import ServiceEvent, Verdict
from tests.unit.anomaly.learn.test_frame import CATALOG


def finding(at_us: int, verdict: Verdict, *, mode: str = "belt_worn") -> ServiceEvent:
    component = CATALOG.product.failure_mode(mode).component
    return ServiceEvent(
        finding_id=at_us, failure_mode=mode, component=component, verdict=verdict, found_us=at_us
    )


def test_confirmed_and_incipient_are_failures_and_begin_a_new_life() -> None:
    labels = labels_of(
        CATALOG, findings=[finding(10, "incipient"), finding(30, "confirmed")], faults=[]
    )

    assert labels.failure_us.tolist() == [10, 30]
    assert labels.service_us.tolist() == [10, 30]
    assert labels.service_component.tolist() == [0, 0]


def test_a_fault_that_was_reported_and_then_confirmed_is_one_failure() -> None:
    faults = [ReportedFault(failure_mode="belt_worn", at_us=at) for at in (5, 7)]

    labels = labels_of(CATALOG, findings=[finding(10, "confirmed")], faults=faults)

    assert labels.failure_us.tolist() == [5]
    assert labels.service_us.tolist() == [10]


def test_no_fault_found_is_a_doubt_and_not_inspected_is_nothing() -> None:
    findings = [finding(10, "no_fault_found"), finding(20, "not_inspected")]

    labels = labels_of(CATALOG, findings=findings, faults=[])

    assert labels.doubt_us.tolist() == [10]
    assert not len(labels.failure_us)
    assert not len(labels.service_us)


def test_another_fault_replaces_the_part_without_being_its_failure() -> None:
    labels = labels_of(CATALOG, findings=[finding(10, "other_fault")], faults=[])

    assert not len(labels.failure_us)
    assert labels.service_us.tolist() == [10]


def test_a_mode_that_the_sheet_no_longer_has_is_left_out() -> None:
    other = ServiceEvent(
        finding_id=1, failure_mode="gone", component="gone", verdict="confirmed", found_us=3
    )

    labels = labels_of(Catalog(CATALOG.product), findings=[other], faults=[])

    assert not len(labels.failure_us)
