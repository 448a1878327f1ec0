"""States only go where the tables say."""

import pytest

from maintenance.life_cycle import TABLES, is_closed, sources


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_state_can_be_left_towards_the_end_or_is_the_end(name: str) -> None:
    table = TABLES[name]
    closed = {state for state in table if is_closed(table, state)}

    for state in table:
        reached, frontier = set(), {state}
        while frontier - reached:
            reached |= frontier
            frontier = {after for before in frontier for after in table[before]}
        assert reached & closed


@pytest.mark.parametrize("name", sorted(TABLES))
def test_only_known_states_follow(name: str) -> None:
    table = TABLES[name]

    assert {after for following in table.values() for after in following} <= set(table)


def test_a_closed_ticket_is_no_source() -> None:
    for state in TABLES["ticket"]:
        assert not {"resolved", "cancelled"} & set(sources(TABLES["ticket"], state))
