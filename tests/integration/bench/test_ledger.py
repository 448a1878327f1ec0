from pathlib import Path

from bench.chaos.ledger import Ledger, Mark, read_ledger


def test_what_was_synced_is_read_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    for seq in range(3):
        ledger.add(Mark.ATTEMPTED, 5, 1, seq)
    ledger.add(Mark.ACKNOWLEDGED, 5, 1, 0)
    ledger.add(Mark.CONFIRMED, 5, 1, 1)
    ledger.add(Mark.CONFIRMED, 5, 1, 0)
    ledger.sync()

    entries = read_ledger(tmp_path / "ledger")

    assert entries.attempted == {(5, 1, 0), (5, 1, 1), (5, 1, 2)}
    assert entries.acknowledged == {(5, 1, 0)}
    assert set(entries.confirmed()) == {(5, 1, 0), (5, 1, 1)}
    ledger.close()


def test_nothing_counts_before_it_is_on_disk(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    ledger.add(Mark.ATTEMPTED, 1, 1, 1)

    assert not read_ledger(tmp_path / "ledger").attempted
    ledger.close()
    assert read_ledger(tmp_path / "ledger").attempted == {(1, 1, 1)}


def test_half_an_entry_of_a_killed_writer_is_left_out_and_written_over(tmp_path: Path) -> None:
    file = tmp_path / "ledger"
    first = Ledger(file)
    first.add(Mark.ATTEMPTED, 1, 1, 1)
    first.close()
    with file.open("ab") as stream:
        stream.write(b"\x01\x00\x00")

    second = Ledger(file)
    second.add(Mark.ATTEMPTED, 2, 2, 2)
    second.close()

    assert read_ledger(file).attempted == {(1, 1, 1), (2, 2, 2)}
