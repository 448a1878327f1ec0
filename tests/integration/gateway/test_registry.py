"""Products and their tables, devices and their credentials, in the real database."""

from datetime import timedelta

import pytest

from core.clock import wall_now
from core.errors import ConflictError, InvalidError, NotFoundError
from core.migrations import migrate
from core.pool import Pool
from gateway import service
from gateway.records import DeviceDraft, OwnerDraft, SiteDraft
from gateway.topics import shard_of
from tests.integration.gateway.sheets import SMALL, WIDER

_COLUMNS = """
select column_name, data_type, col_description('telemetry.kettle'::regclass, ordinal_position)
from information_schema.columns where table_schema = 'telemetry' and table_name = 'kettle'
order by ordinal_position
"""


def register(pool: Pool, text: str = SMALL) -> service.RegisteredProduct:
    return service.register_product(pool, toml_text=text, source="kettle.toml", now=wall_now())


def test_a_product_gets_a_wide_table_with_its_units(pool: Pool) -> None:
    done = register(pool)

    assert done.is_new
    with pool.connection() as connection:
        assert connection.execute(_COLUMNS).fetchall() == [
            ("device_id", "bigint", None),
            ("measured_at", "timestamp with time zone", None),
            (
                "_flags",
                "smallint",
                "null: nothing to say; 1: the time is the platform's, the device's clock was off",
            ),
            ("water_c", "real", "°C"),
            ("power_w", "real", "W"),
            ("boils", "double precision", None),
        ]
        hypertables = connection.execute(
            "select hypertable_schema, hypertable_name from timescaledb_information.hypertables"
            " where hypertable_schema = 'telemetry'"
        ).fetchall()
    assert hypertables == [("telemetry", "kettle")]


def test_registering_again_changes_nothing(pool: Pool) -> None:
    first = register(pool)

    again = register(pool)

    assert (again.id, again.revision, again.is_new, again.added_metrics) == (first.id, 1, False, ())


def test_a_comment_is_no_new_revision_and_a_new_metric_is(pool: Pool) -> None:
    register(pool)

    assert register(pool, SMALL + "\n# good kettle\n").revision == 1
    assert service.product_toml(pool, name="kettle").endswith("# good kettle\n")
    wider = register(pool, WIDER)

    assert (wider.revision, wider.added_metrics) == (2, ("lid_open",))


def indexes_of_codes(pool: Pool) -> list[str]:
    with pool.connection() as connection:
        rows = connection.execute(
            "select indexdef from pg_indexes where schemaname = 'telemetry' and tablename = 'kettle'"
            " and indexdef like '%% WHERE %%' order by 1"
        ).fetchall()
    return [row[0].partition(" USING ")[2] for row in rows]


LID_CODE = WIDER.replace('name = "lid_open"', 'name = "lid_open"\nkind = "code"')
LID_INDEX = "btree (device_id, measured_at) WHERE (lid_open <> (0)::double precision)"


@pytest.mark.parametrize("before", [None, SMALL, WIDER])
def test_codes_get_an_index_of_their_own_once(pool: Pool, before: str | None) -> None:
    """With the table, with their column, or when a metric turns out to be codes."""
    if before is not None:
        register(pool, before)
        assert indexes_of_codes(pool) == []

    register(pool, LID_CODE)
    register(pool, LID_CODE.replace("Kettle K1", "Kettle K2"))

    assert indexes_of_codes(pool) == [LID_INDEX]


def test_codes_of_products_that_were_registered_earlier_get_their_index_by_migration(
    pool: Pool, database_url: str
) -> None:
    register(pool, LID_CODE)
    with pool.connection() as connection:
        (name,) = connection.execute(
            "select indexname from pg_indexes where schemaname = 'telemetry' and indexdef like '%% WHERE %%'"
        ).fetchone()
        connection.execute(f'drop index telemetry."{name}"')
        connection.execute("delete from core.migration where name = '0026_codes.sql'")

    assert migrate(database_url) == ("0026_codes.sql",)

    assert indexes_of_codes(pool) == [LID_INDEX]


def test_a_sheet_that_drops_a_metric_changes_nothing(pool: Pool) -> None:
    register(pool, WIDER)

    with pytest.raises(ConflictError):
        register(pool, SMALL)

    assert service.product_toml(pool, name="kettle") == WIDER


def test_a_product_named_like_a_word_of_sql_gets_its_table(pool: Pool) -> None:
    text = SMALL.replace('"kettle"', '"select"').replace('"boils"', '"order"')

    assert register(pool, text).is_new


def test_devices_are_let_in_with_owner_and_site(pool: Pool) -> None:
    register(pool)
    owner = OwnerDraft(name="Ada", email="Ada@Example.org")
    drafts = [
        DeviceDraft(
            name=f"k{i}",
            serial=f"S{i}",
            owner=owner,
            site=SiteDraft(city="Ulm"),
            delivered_at=wall_now(),
        )
        for i in range(3)
    ]

    credentials = service.add_devices(pool, product="kettle", drafts=drafts, now=wall_now())

    assert [c.name for c in credentials] == ["k0", "k1", "k2"]
    assert all(int(c.shard, 16) == shard_of(c.name) and len(c.password) >= 22 for c in credentials)
    found = service.device_by_name(pool, name="k1")
    assert (found.product, found.owner_email, found.is_connected) == (
        "kettle",
        "ada@example.org",
        None,
    )
    assert found.warranty_until
    assert found.delivered_at
    assert (found.warranty_until - found.delivered_at).days == 730
    with pool.connection() as connection:
        assert connection.execute("select count(*) from gateway.owner").fetchone() == (1,)
        text = str(connection.execute("select * from gateway.credential").fetchall())
    assert not any(c.password in text for c in credentials)


def test_all_devices_are_added_or_none(pool: Pool) -> None:
    register(pool)
    drafts = [DeviceDraft(name="a", serial="1"), DeviceDraft(name="b", serial="1")]

    with pytest.raises(ConflictError):
        service.add_devices(pool, product="kettle", drafts=drafts, now=wall_now())

    assert service.devices(pool) == ()


@pytest.mark.parametrize("name", ["", "a/b", "+", "#", "a.b", "ä", "x" * 65, "a\n", "a:b"])
def test_a_name_that_is_no_topic_level_is_refused(pool: Pool, name: str) -> None:
    register(pool)

    with pytest.raises(InvalidError):
        service.add_devices(
            pool, product="kettle", drafts=[DeviceDraft(name=name, serial="1")], now=wall_now()
        )


def test_what_does_not_exist_is_said_to(pool: Pool) -> None:
    now = wall_now()
    with pytest.raises(NotFoundError):
        service.add_devices(pool, product="x", drafts=[DeviceDraft(name="a", serial="1")], now=now)
    with pytest.raises(NotFoundError):
        service.revoke_device(pool, name="x", now=now)
    with pytest.raises(NotFoundError):
        service.rotate_credential(pool, name="x", now=now)
    with pytest.raises(NotFoundError):
        service.device_by_name(pool, name="x")


def test_a_device_is_reporting_while_its_samples_are_fresh(pool: Pool) -> None:
    """What ingest has stored is one fact, the session with the broker another."""
    register(pool)
    service.add_devices(
        pool, product="kettle", drafts=[DeviceDraft(name="k1", serial="1")], now=wall_now()
    )
    before = service.device_by_name(pool, name="k1")
    now = wall_now()
    with pool.connection() as connection:
        connection.execute(
            "insert into ingest.progress values (%s, %s, %s, %s, 7)",
            (before.id, now - timedelta(hours=3), now - timedelta(hours=2), now),
        )

    after = service.device_by_name(pool, name="k1")

    assert (before.samples, before.reporting_until) == (0, None)
    assert not before.is_reporting(now)
    assert (after.samples, after.measured_through) == (7, now - timedelta(hours=2))
    assert after.is_connected is None
    assert after.is_reporting(now + timedelta(minutes=59))
    assert not after.is_reporting(now + timedelta(minutes=61))
