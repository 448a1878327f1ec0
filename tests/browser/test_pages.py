import gzip
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from maintenance.service import sign_link
from tests.fixtures.site import PASSWORD, Site

pytestmark = pytest.mark.browser

AXE = (Path(__file__).parent / "vendor/axe.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
SIZES = [(320, "light"), (390, "dark"), (1280, "light"), (1280, "dark")]
PAGES = {
    "": (
        "/sign-in",
        "/nothing",
        "/claim",
        "/claim/FREE",
        "/claim/USED",
        "/claim/wrong",
        "LINK 0:fan_bearing",
        "LINK 3:filter_clogged",
        "LINK 8:fan_bearing",
    ),
    "maker@example.org": (
        "/fleet",
        "/fleet?q=nobody",
        "/devices",
        "/devices/hp-0000",
        "/devices/hp-0000?days=30",
        "/devices/hp-0001",
        "/devices/hp-0005?part=fan_bearing",
        "/devices/hp-0011",
        "/devices/hp-free",
        "/devices/nothing",
        "/devices/hp-0000/settings",
        "/devices/hp-0001/settings",
        "/tickets",
        "/tickets/1",
        "/tickets/7",
        "/campaigns",
        "/campaigns/1",
        "/campaigns/2",
        "/campaigns/3",
        "/campaigns/99",
        "/campaigns?state=paused",
        "/claim/FREE",
        "/dead-letters",
        "/inbox",
    ),
    "owner0@example.org": (
        "/home",
        "/devices/hp-0000",
        "/devices/hp-0000/hand-over",
        "/claim",
        "/claim/FREE",
        "/campaigns",
    ),
    "owner1@example.org": ("/home", "/devices/hp-0001"),
    "tech0@example.org": ("/work", "/work/2", "/work/7"),
}
REFUSED = re.compile(r"status of (403|404|409|422)\b")
"""What the console says of a page that is there to say no."""
PAGE_BYTES_MAX = 130 * 1024
SCRIPT_BYTES_MAX = 50 * 1024


@contextmanager
def opened(
    chromium: Browser,
    site: Site,
    email: str,
    *,
    width: int = 390,
    scheme: str = "light",
    locale: str = "en-GB",
    **more: bool,
) -> Iterator[Page]:
    context = chromium.new_context(
        base_url=site.url,
        locale=locale,
        viewport={"width": width, "height": 844},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
        java_script_enabled=more.get("scripts", True),
    )
    if email:
        form = {"email": email, "password": PASSWORD}
        answer = context.request.post("/sign-in", form=form, max_redirects=0)
        assert answer.status == 303
    page = context.new_page()
    yield page
    context.close()


def address(site: Site, path: str) -> str:
    if path.startswith("/claim/") and site.codes:
        return path.replace("FREE", site.codes.free).replace("USED", site.codes.used)
    if not path.startswith("LINK "):
        return path
    ticket_id = site.fleet.ticket_ids[path.removeprefix("LINK ")]
    return f"/t/{sign_link(site.settings.key, ticket_id=ticket_id)}"


def violations(page: Page) -> list[str]:
    """What axe finds on the page that is open."""
    page.evaluate(AXE)
    result = page.evaluate(
        "(rules) => axe.run(document, {runOnly: {type: 'tag', values: rules}})", RULES
    )
    return [
        f"{v['id']} {node['target']} {node['failureSummary']}"
        for v in result["violations"]
        for node in v["nodes"]
    ]


@pytest.mark.parametrize(("width", "scheme"), SIZES)
@pytest.mark.parametrize("email", PAGES)
def test_pages_are_accessible_fit_and_complain_about_nothing(
    chromium: Browser, shown: Site, email: str, width: int, scheme: str
) -> None:
    found: list[str] = []
    with opened(chromium, shown, email, width=width, scheme=scheme) as page:
        page.on("pageerror", lambda error: found.append(f"{page.url}: {error}"))
        page.on("dialog", lambda dialog: found.append(f"{page.url}: a dialog {dialog.message}"))
        page.on(
            "console",
            lambda m: (
                found.append(f"{page.url}: {m.text}")
                if m.type in ("error", "warning") and not REFUSED.search(m.text)
                else None
            ),
        )
        for path in PAGES[email]:
            if path.startswith("/claim/"):
                # Ten codes a minute may be tried from one address, and all come from the same one.
                shown.clock.advance(timedelta(seconds=7))
            page.goto(address(shown, path))
            for figure in page.locator("figure.chart").all():
                expect(figure).to_have_attribute("data-ready", "1")
            if page.evaluate("document.documentElement.scrollWidth") > width:
                found.append(f"{path}: scrolls sideways at {width} px")
            found += [f"{path}: {violation}" for violation in violations(page)]

    assert found == []


@pytest.mark.parametrize(("width", "scheme"), SIZES)
def test_a_part_whose_rule_is_demoted_is_looked_at_on_the_next_visit(
    chromium: Browser, site: Site, width: int, scheme: str
) -> None:
    site.change(
        "update anomaly.forecast set status = 'declining', p_fail_30d = 0.5 where device_id ="
        " (select id from gateway.device where name = 'hp-0005') and failure_mode = 'fan_bearing'"
    )

    with opened(chromium, site, "maker@example.org", width=width, scheme=scheme) as page:
        for path, row in (
            ("/fleet?q=hp-0005", "table.needs tbody tr"),
            ("/devices/hp-0005?part=fan_bearing", "[aria-labelledby=parts] li"),
        ):
            page.goto(path)

            said = page.locator(row, has_text="Fan bearing wear")
            expect(said).to_contain_text("Looked at on the next visit")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert violations(page) == []


@pytest.mark.parametrize(("width", "scheme"), SIZES)
@pytest.mark.parametrize(
    ("email", "path"),
    [
        ("maker@example.org", "/fleet"),
        ("owner0@example.org", "/devices/hp-0000"),
        ("tech0@example.org", "/work/2"),
        ("", "LINK 0:fan_bearing"),
    ],
)
def test_sentences_about_devices_come_in_the_language_of_the_browser(
    chromium: Browser, shown: Site, email: str, path: str, width: int, scheme: str
) -> None:
    with opened(chromium, shown, email, width=width, scheme=scheme, locale="de-DE") as page:
        page.goto(address(shown, path))

        assert page.locator("[lang=de]").count() > 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert violations(page) == []


def test_a_chart_is_read_with_the_keyboard(chromium: Browser, shown: Site) -> None:
    with opened(chromium, shown, "maker@example.org", width=1280) as page:
        page.goto("/devices/hp-0000")
        figure = page.locator("figure.chart").first
        expect(figure).to_have_attribute("data-ready", "1")

        figure.locator(".plot").focus()
        page.keyboard.press("ArrowLeft")

        expect(figure.locator(".read")).to_contain_text("mm/s, normal")
        page.keyboard.press("End")
        expect(figure.locator(".read")).to_contain_text("forecast")


def test_an_owner_books_a_visit_without_scripts(chromium: Browser, site: Site) -> None:
    with opened(chromium, site, "", scripts=False) as page:
        page.goto(address(site, "LINK 0:fan_bearing"))
        page.get_by_label("08:00").first.check()
        page.get_by_role("button", name="Book this visit").click()

        expect(page.get_by_role("heading", level=1)).to_contain_text("We come on")


def test_a_technician_closes_a_job_without_scripts(chromium: Browser, site: Site) -> None:
    with opened(chromium, site, "tech0@example.org", scripts=False) as page:
        page.goto("/work")
        page.locator(".job.next").click()
        page.get_by_role("button", name="Begin work").click()
        page.get_by_text("Beginning wear found").click()
        page.get_by_role("button", name="Close this job").click()

        expect(page.get_by_role("heading", name="Finding")).to_be_visible()


def test_a_refused_command_is_shown_with_its_reason_where_it_was_typed(
    chromium: Browser, site: Site
) -> None:
    with opened(chromium, site, "maker@example.org") as page:
        page.goto("/devices/hp-0001/settings")
        page.get_by_label("Arguments").fill("in a moment")
        page.get_by_role("button", name="Send it").click()

        expect(page.get_by_role("alert")).to_be_in_viewport()
        expect(page.get_by_label("Arguments")).to_have_value("in a moment")
        assert violations(page) == []
        page.get_by_label("Arguments").fill("")
        page.get_by_role("button", name="Send it").click()

        expect(page.locator("#commands")).to_contain_text("Queued")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_owner_hands_a_device_over_and_somebody_new_takes_it(
    chromium: Browser, site: Site, scheme: str
) -> None:
    with opened(chromium, site, "owner0@example.org", scheme=scheme) as page:
        page.goto("/devices/hp-0000")
        page.get_by_role("link", name="Hand it over").click()
        page.get_by_role("button", name="Make the code").click()
        expect(page.locator(".qr svg")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert violations(page) == []
        target = page.locator("main a", has_text="/claim/").get_attribute("href")
    assert target
    with opened(chromium, site, "", scheme=scheme) as page:
        page.goto(target)
        expect(page.get_by_label("Time zone")).not_to_have_value("")
        page.get_by_label("Your name").fill("Nora New")
        page.get_by_label("E-mail address").fill("nora@example.org")
        page.get_by_label("Password").fill("a good long password")
        page.get_by_role("button", name="This is my device").click()

        expect(page.get_by_role("heading", level=1)).to_have_text("My devices")
        expect(page.locator(".hero")).to_contain_text("Heat pump Aria 9")


def test_the_fleet_page_keeps_itself_up_to_date(chromium: Browser, site: Site) -> None:
    with opened(chromium, site, "maker@example.org", width=1280) as page:
        page.goto("/fleet")
        expect(page.locator("#figures")).to_contain_text("1 without warning")

        site.change(
            "update maintenance.ticket set reason = 'failure_likely' where kind = 'corrective'"
        )

        expect(page.locator("#figures")).to_contain_text("1 warned too late", timeout=15_000)


@pytest.mark.parametrize(("width", "scheme"), SIZES)
def test_a_device_that_is_learned_says_for_how_long(
    chromium: Browser, site: Site, width: int, scheme: str
) -> None:
    site.change("update anomaly.forecast set status = 'learning', p_fail_30d = null")
    site.change("update maintenance.alert set cleared_at = opened_at")
    site.change(
        "update ingest.progress set first_measured_at = measured_through - interval '9 days'"
    )
    pages = (("owner0@example.org", "/home"), ("owner0@example.org", "/devices/hp-0000"),
             ("tech0@example.org", "/work/2"))  # fmt: skip
    for email, path in pages:
        with opened(chromium, site, email, width=width, scheme=scheme) as page:
            page.goto(path)
            shown = page.get_by_text("Learning what is normal, 9 of 10 days").first

            expect(shown).to_be_visible()
            expect(page.locator("svg.prog").first).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert violations(page) == []


def test_the_choice_of_light_or_dark_stays(chromium: Browser, shown: Site) -> None:
    with opened(chromium, shown, "maker@example.org", width=1280, scheme="light") as page:
        page.goto("/fleet")
        page.get_by_role("button", name="Light or dark").click()
        page.goto("/devices")

        assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"


@pytest.mark.parametrize(
    ("email", "path"),
    [
        ("maker@example.org", "/fleet"),
        ("maker@example.org", "/devices/hp-0000"),
        ("", "LINK 0:fan_bearing"),
        ("tech0@example.org", "/work/2"),
    ],
)
def test_a_cold_page_is_small(chromium: Browser, shown: Site, email: str, path: str) -> None:
    sizes: dict[str, int] = {}
    with opened(chromium, shown, email) as page:
        page.on("requestfinished", lambda request: sizes.update({request.url: 0}))
        page.goto(address(shown, path))
        page.wait_for_load_state("networkidle")
        cookies = {c["name"]: c["value"] for c in page.context.cookies()}
    with httpx.Client(cookies=cookies) as client:
        for url in sizes:
            content = client.get(url).content
            sizes[url] = len(content if url.endswith("woff2") else gzip.compress(content, 6))

    assert sum(sizes.values()) <= PAGE_BYTES_MAX, sizes
    assert sum(size for url, size in sizes.items() if url.endswith(".js")) <= SCRIPT_BYTES_MAX
