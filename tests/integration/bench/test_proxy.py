"""The proxy between ingest and the database, with real sockets."""

import socket
import threading
from collections.abc import Iterator
from random import Random

import pytest

from bench.chaos.proxy import HEALTHY, Proxy, Toxic


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that says what it hears."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(1000):
                    connection.sendall(data)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@pytest.fixture
def proxy(echo: int) -> Iterator[Proxy]:
    proxy = Proxy(echo, rng=Random(1))
    yield proxy
    proxy.stop()


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=30) as client:
        client.sendall(b"hello")
        assert client.recv(5) == b"hello"
        yield client


def test_a_healthy_line_passes_everything_on(proxy: Proxy, client: socket.socket) -> None:
    sent = bytes(range(256)) * 1000

    threading.Thread(target=client.sendall, args=(sent,)).start()

    got = b""
    while len(got) < len(sent):
        got += client.recv(1 << 16)
    assert got == sent
    assert proxy.bytes_held == 0


def test_a_silent_line_keeps_what_it_gets_until_it_is_healthy_again(
    proxy: Proxy, client: socket.socket
) -> None:
    proxy.toxic = Toxic(is_silent=True)
    client.sendall(b"anybody?")
    client.settimeout(0.3)
    with pytest.raises(TimeoutError):
        client.recv(8)
    client.settimeout(30)

    proxy.toxic = HEALTHY

    assert client.recv(8) == b"anybody?"
    assert proxy.bytes_held == 8


@pytest.mark.parametrize("toxic", [Toxic(latency_s=0.05, jitter_s=0.02), Toxic(bytes_per_s=5000)])
def test_a_slow_line_loses_nothing(proxy: Proxy, client: socket.socket, toxic: Toxic) -> None:
    proxy.toxic = toxic

    client.sendall(b"slowly")

    assert client.recv(6) == b"slowly"
    assert proxy.bytes_held >= 6


def test_a_reset_reaches_a_client_that_waits_for_an_answer(
    proxy: Proxy, client: socket.socket
) -> None:
    assert proxy.reset() == 1

    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert proxy.resets == 1


def test_a_server_that_is_away_ends_the_connection(proxy: Proxy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        proxy.target_port = unused.getsockname()[1]

    with socket.create_connection(("127.0.0.1", proxy.port), timeout=30) as client:
        assert client.recv(1) == b""


def test_a_client_that_leaves_ends_the_connection_to_the_server(
    proxy: Proxy, client: socket.socket
) -> None:
    client.shutdown(socket.SHUT_WR)

    assert client.recv(1) == b""
