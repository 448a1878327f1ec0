"""Small charts drawn on the server as SVG: no script, printable, the same for everybody. Pure."""

import math
from collections.abc import Sequence

from markupsafe import Markup, escape


def spark(
    values: Sequence[float], *, level: str, label: str, width: int = 88, height: int = 28
) -> Markup:
    """Draw a line without axes, its newest value as a dot; an index keeps the scale from 0 to 1."""
    if len(values) < 2:
        return Markup('<span class="faint xs">too new</span>')
    low, high = 0.0, max(1.0, *values)
    step = (width - 6) / (len(values) - 1)
    points = [
        (2 + i * step, height - 4 - (v - low) / (high - low) * (height - 8))
        for i, v in enumerate(values)
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    x, y = points[-1]
    return Markup(
        '<svg class="spark lv-{}" width="{}" height="{}" viewBox="0 0 {} {}" role="img" aria-label="{}">'
        '<polyline points="{}"/><circle cx="{}" cy="{}" r="2.5"/></svg>'
    ).format(level, width, height, width, height, label, line, f"{x:.1f}", f"{y:.1f}")


def chance_bar(share: float | None, *, width: int = 48) -> Markup:
    """Draw how full a chance is; the number stands beside it."""
    full = max(0.0, min(1.0, share or 0.0)) * width
    return Markup(
        '<svg class="meter" width="{0}" height="6" viewBox="0 0 {0} 6" aria-hidden="true">'
        '<rect class="off" width="{0}" height="6" rx="3"/><rect class="on" width="{1}" height="6" rx="3"/></svg>'
    ).format(width, f"{full:.1f}")


def progress(share: float, *, label: str) -> Markup:
    full = max(0.0, min(1.0, share)) * 100
    return Markup(
        '<svg class="prog" viewBox="0 0 100 4" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<rect class="off" width="100" height="4"/><rect class="on" width="{}" height="4"/></svg>'
    ).format(label, f"{full:.1f}")


def timeline(
    *, safe_share: float, window_share: float, visit_share: float | None, label: str
) -> Markup:
    """Draw today, the time that is safe, the likely failure and the booked visit on one rail.

    Parameters
    ----------
    safe_share, window_share : float
        Where the likely failure begins and how long it lasts, as shares of the rail in [0, 1].
    visit_share : float or None
        Where the visit lies.
    label : str
        The same in words.
    """
    begin, width = safe_share * 320, max(6.0, window_share * 320)
    visit = ""
    if visit_share is not None:
        x = max(8.0, min(312.0, visit_share * 320))
        visit = f'<circle class="visit" cx="{x:.1f}" cy="12" r="8"/>'
    return Markup(  # noqa: S704 - numbers, and an escaped label
        f'<svg class="rail" viewBox="0 0 320 24" role="img" aria-label="{escape(label)}">'
        '<defs><pattern id="hatch" width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<rect class="h1" width="8" height="8"/><rect class="h2" width="4" height="8"/></pattern></defs>'
        '<rect class="base" y="8" width="320" height="8" rx="4"/>'
        f'<rect class="safe" y="8" width="{begin:.1f}" height="8" rx="4"/>'
        f'<rect class="win" x="{begin:.1f}" y="4" width="{width:.1f}" height="16" rx="4"/>{visit}</svg>'
    )


def stack(parts: Sequence[tuple[str, float]], *, label: str) -> Markup:
    """Draw shares of a whole beside each other, each in the colour of its level."""
    begin, drawn = 0.0, Markup()
    for level, share in parts:
        width = max(0.0, min(1.0, share)) * 100
        if width:
            drawn += Markup('<rect class="on lv-{}" x="{}" width="{}" height="4"/>').format(
                level, f"{begin:.2f}", f"{width:.2f}"
            )
        begin += width
    return Markup(
        '<svg class="prog" viewBox="0 0 100 4" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<rect class="off" width="100" height="4"/>{}</svg>'
    ).format(label, drawn)


def ratio(low: float | None, high: float | None, *, level: str, label: str) -> Markup:
    """Draw an interval of a ratio on a logarithmic rail from a hundredth to hundredfold; 1 in the middle."""

    def place(value: float) -> float:
        return 160 + 80 * max(-1.9, min(1.9, math.log10(max(value, 1e-6))))

    begin = place(low) if low else 8.0
    end = place(high) if high is not None else 312.0
    return Markup(
        '<svg class="ratio lv-{}" viewBox="0 0 320 24" role="img" aria-label="{}">'
        '<rect class="base" y="10" width="320" height="4" rx="2"/>'
        '<rect class="int" x="{}" y="6" width="{}" height="12" rx="6"/>'
        '<rect class="one" x="159" y="0" width="2" height="24"/></svg>'
    ).format(level, label, f"{begin:.1f}", f"{max(6.0, end - begin):.1f}")
