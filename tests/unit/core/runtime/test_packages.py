"""Reading what apt, the loader and Debian's version numbers say."""

from pathlib import Path

from core.runtime.packages import Mirror, needed_names, parse_mirrors, parse_offers
from core.runtime.software import Stamp, plain_version
from core.runtime.unpack import foreign_libraries

_URIS = """\
'http://mirror.example/debian/dists/bookworm/InRelease' mirror_bookworm_InRelease 0
'http://mirror.example/debian/dists/bookworm-updates/InRelease' mirror_updates_InRelease 0
'http://mirror.example/debian-security/dists/bookworm-security/InRelease' mirror_sec_InRelease 0
'http://mirror.example/debian/dists/bookworm/main/binary-amd64/Packages.xz' mirror_Packages 0
"""
_PLAN = """\
Inst libc6 (2.41-12 Debian:13.2/stable [amd64])
Inst perl-base (5.40.1-6 Debian:13.2/stable [amd64])
Inst libllvm19 (1:19.1.7-3 Debian:13.2/stable [amd64])
Inst postgresql-17 (17.12-0+deb13u1 Debian:13.2/stable [amd64])
Inst postgresql-common (278 Debian:13.2/stable [all])
Inst mosquitto (2.0.21-1 Debian:13.2/stable [amd64])
Conf libc6 (2.41-12 Debian:13.2/stable [amd64])
"""
_SHA = "ab" * 32


def test_each_mirror_is_named_once_and_security_is_known():
    assert parse_mirrors(_URIS) == [
        Mirror(base="http://mirror.example/debian", has_security=False),
        Mirror(base="http://mirror.example/debian-security", has_security=True),
    ]


def test_a_machine_without_sources_has_no_mirror():
    assert parse_mirrors("") == []


def test_only_what_is_needed_to_run_is_taken():
    assert needed_names(_PLAN) == ["libc6", "postgresql-17", "mosquitto"]


def test_an_offer_has_a_name_a_size_and_a_hash():
    text = f"'http://mirror.example/libc6.deb' libc6_1%3a2.41-12_amd64.deb 2800 SHA256:{_SHA}\n"

    (package,) = parse_offers(text)

    assert (package.name, package.version) == ("libc6", "1:2.41-12")
    assert (package.size_bytes, package.sha256) == (2800, _SHA)


def test_an_offer_without_a_strong_hash_is_no_offer():
    assert parse_offers("'http://mirror.example/a.deb' a_1_all.deb 10 MD5Sum:00\n") == ()


def test_versions_are_shown_without_what_the_distribution_added():
    assert plain_version("17.12-0+deb13u1") == "17.12"
    assert plain_version("2.19.3+dfsg-1+deb13u1") == "2.19.3"
    assert plain_version("1%3a4.0.2-2") == "4.0.2"
    assert plain_version("2026c-0+deb13u1") == "2026c"


def test_a_stamp_names_the_servers():
    files = ("mosquitto_2.0.21-1_amd64.deb", "libc6_2.41-12_amd64.deb")
    stamp = Stamp(format=1, suite="trixie", home="/x", packages=files)

    assert stamp.versions() == {"Mosquitto": "2.0.21"}


def test_a_library_that_is_missing_or_the_hosts_is_found_out():
    listing = """\
\tlinux-vdso.so.1 (0x00007ffd)
\tlibssl.so.3 => /home/a b/software/usr/lib/x/libssl.so.3 (0x00007f01)
\tlibpam.so.0 => /home/a b/software/usr/bin/../../usr/lib/x/libpam.so.0 (0x00007f03)
\tlibzstd.so.1 => /usr/lib/x/libzstd.so.1 (0x00007f02)
\tlibicu.so.76 => not found
"""

    found = foreign_libraries(listing, home=Path("/home/a b/software"))

    assert found == ["libicu.so.76", "/usr/lib/x/libzstd.so.1"]
