"""What is printed on devices, as a file of labels."""

from firmware_sim.claiming import Printed, read_labels


def test_labels_are_read_as_they_are_written_and_an_unfinished_line_waits():
    text = "hp-1  ABCD-EFGH-JKMN-PQRS  http://host/claim/ABCD\n\nhp-2 1234\nhp-3  AB"

    assert read_labels(text) == [
        Printed(device="hp-1", code="ABCD-EFGH-JKMN-PQRS"),
        Printed(device="hp-2", code="1234"),
    ]
