"""Labels for devices: name, serial number, and the QR code that leads an owner to the claim page. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO

import segno

from gateway.claims.codes import shown_code
from gateway.claims.service import ClaimCode

_WIDTH, _HEIGHT = 62.0, 29.0
"""Millimetres: fits the common label rolls of 62 mm."""
_PAGE_WIDTH, _MARGIN = 210.0, 10.0
_WIDEST = 0.78  # a bold capital letter in parts of its size: DejaVu Sans
_QUIET = 4  # modules of white around a QR code: ISO/IEC 18004
_PNG_MODULE = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    claim: ClaimCode
    url: str
    """Where the QR code leads."""


def claim_url(base_url: str, code: str) -> str:
    """Return the address of the claim page for a code."""
    return f"{base_url}/claim/{shown_code(code)}"


def qr_svg(url: str) -> str:
    """Return a QR code as an SVG element that scales with its surroundings."""
    return segno.make(url, error="m", micro=False).svg_inline(
        border=_QUIET, omitsize=True, dark="#000", light="#fff"
    )


def qr_png(url: str) -> bytes:
    out = BytesIO()
    segno.make(url, error="m", micro=False).save(out, kind="png", border=_QUIET, scale=_PNG_MODULE)
    return out.getvalue()


def labels_svg(labels: Sequence[Label]) -> str:
    """Return all labels below and beside each other, in millimetres, as wide as a sheet of A4."""
    columns = int((_PAGE_WIDTH - 2 * _MARGIN) // _WIDTH) if len(labels) > 1 else 1
    rows = -(-len(labels) // columns)
    width, height = columns * _WIDTH, rows * _HEIGHT
    parts = [
        _label(label, x=(i % columns) * _WIDTH, y=(i // columns) * _HEIGHT)
        for i, label in enumerate(labels)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}mm" height="{height:g}mm"'
        f' viewBox="0 0 {width:g} {height:g}">\n' + "\n".join(parts) + "\n</svg>\n"
    )


def labels_html(labels: Sequence[Label]) -> str:
    """Return a page to print: three labels beside each other, none cut by the end of a page."""
    cells = "\n".join(f"<li>{labels_svg([label])}</li>" for label in labels)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{len(labels)} labels</title>
<style>
@page {{ size: A4; margin: {_MARGIN:g}mm }}
body {{ margin: 0 }}
ul {{ list-style: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap }}
li {{ break-inside: avoid; line-height: 0 }}
</style></head>
<body><ul>
{cells}
</ul></body></html>
"""


def _label(label: Label, *, x: float, y: float) -> str:
    claim = label.claim
    lines = (
        (6.5, 3.0, "bold", claim.product_title),
        (11.0, 2.6, "normal", claim.device),
        (15.0, 2.6, "normal", f"Serial {claim.serial}"),
        (21.0, 2.2, "normal", "Make it yours: scan, or enter"),
        (25.5, 3.0, "bold", shown_code(claim.code)),
    )
    # The code must be whole whatever font the printer has: it is fitted to its place.
    place = f' textLength="{_WIDTH - 31:g}" lengthAdjust="spacingAndGlyphs"'
    texts = "".join(
        f'<text x="29" y="{top:g}" font-size="{_fitted(text, size):g}" font-weight="{weight}"'
        f' font-family="sans-serif"{place if top == lines[-1][0] else ""}>{escape(text)}</text>'
        for top, size, weight, text in lines
    )
    drawn = qr_svg(label.url)
    placed = drawn.replace("<svg ", '<svg x="1" y="1" width="27" height="27" ', 1)
    return f'<g transform="translate({x:g} {y:g})">{placed}{texts}</g>'


def _fitted(text: str, size: float) -> float:
    """Return a font size at which the text stays on the label, also in the widest of common fonts."""
    return min(size, round((_WIDTH - 30) / (_WIDEST * max(len(text), 1)), 2))
