from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from core.runtime import service as runtime
from core.settings import Settings
from tests.fixtures.site import Seeded, Site, open_site, seed_site


@contextmanager
def copied(servers: runtime.Endpoints, template: str) -> Iterator[str]:
    """Copy a database for as long as the block runs; returns its address."""
    name = f"site_{uuid4().hex[:12]}"
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("create database {} template {}").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
    yield servers.database_url.rsplit("/", 1)[0] + f"/{name}"
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def seeded(servers: runtime.Endpoints, template_database: str) -> Iterator[Seeded]:
    """A database with a fleet and people, written once and copied for every test."""
    with copied(servers, template_database) as url:
        yield seed_site(url)


def settings_of(servers: runtime.Endpoints, database_url: str, inbox: Path) -> Settings:
    return Settings(
        database_url=database_url,
        runtime_dir=str(servers.broker_dir.parent),
        broker_dir=str(inbox.parent / "broker"),
        mqtt_url=servers.mqtt_url,
        inbox_dir=str(inbox),
    )


@pytest.fixture
def site(servers: runtime.Endpoints, seeded: Seeded, tmp_path: Path) -> Iterator[Site]:
    """The application with a fleet of the test's own."""
    with copied(servers, seeded.database) as url:
        settings = settings_of(servers, url, tmp_path / "inbox")
        with open_site(settings, seeded.fleet) as opened:
            yield opened


@pytest.fixture(scope="session")
def shown(
    servers: runtime.Endpoints, seeded: Seeded, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """The application with a fleet that no test may change."""
    with copied(servers, seeded.database) as url:
        settings = settings_of(servers, url, tmp_path_factory.mktemp("shown") / "inbox")
        with open_site(settings, seeded.fleet) as opened:
            yield opened
