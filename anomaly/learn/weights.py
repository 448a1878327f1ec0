"""How much each member's word counts, by how well they do together on devices left out. Pure."""

from collections.abc import Sequence

import msgspec
import numpy as np
from scipy.optimize import nnls

from anomaly.learn.conformal import device_weights
from anomaly.learn.kernel import RIDGES, WIDTHS
from anomaly.learn.members import About, Lives, Member, Strengths, Way, grow
from anomaly.records import FloatArray

BELIEF_LIVES = 3.0
"""Equal weights of the members are given up for others as if so many more lives had spoken for them."""


def weighted(
    ways: Sequence[tuple[Way, About]], lives: Lives, raws: Sequence[FloatArray], *, cap: float
) -> list[Member]:
    """Members without models, each with the weight and the noise that devices left out give it."""
    weight = device_weights(lives.device)
    members = []
    for (way, about), raw in zip(ways, raws, strict=True):
        member = grow(
            "age", about, lives, weight, cap=cap,
            strengths=Strengths(width=WIDTHS[0], ridge=RIDGES[0]), seeds=(),
        )  # fmt: skip
        if about == "share" and way != "age":
            noise = float(np.sqrt(np.average((raw - lives.shares) ** 2, weights=weight)))
            member = msgspec.structs.replace(member, noise=noise)
        members.append(member)
    age, pairs = lives.age_hours, list(zip(members, raws, strict=True))
    hours = np.stack([member.hours(raw, age, cap=cap) for member, raw in pairs], axis=1)
    shares = _stacked(hours, np.minimum(lives.left_hours, cap), weight)
    members = [
        msgspec.structs.replace(member, weight=float(share))
        for member, share in zip(members, shares, strict=True)
    ]
    telling = [n for n, member in enumerate(members) if member.about == "share"]
    used = np.stack([members[n].used(raws[n], age) for n in telling], axis=1)
    for n, share in zip(telling, _stacked(used, lives.shares, weight), strict=True):
        members[n] = msgspec.structs.replace(members[n], share_weight=float(share))
    return members


def said_by(
    members: Sequence[Member], raws: Sequence[FloatArray], age_hours: FloatArray, *, cap: float
) -> FloatArray:
    """Remaining life in hours that each member speaks of whose word counts; (rows, such members)."""
    pairs = zip(members, raws, strict=True)
    counting = [m.hours(raw, age_hours, cap=cap) for m, raw in pairs if m.weight > 0]
    return np.stack(counting, axis=1)


def together(members: Sequence[Member], said: FloatArray) -> FloatArray:
    """Mean of what `said_by` returned, by the weights of the members; (rows,)."""
    total = np.zeros(len(said))
    for place, member in enumerate(m for m in members if m.weight > 0):
        total += member.weight * said[:, place]
    return total


def _stacked(said: FloatArray, truth: FloatArray, weight: FloatArray) -> FloatArray:
    """Non-negative weights with sum 1 whose mixture is nearest to the truth, drawn towards equal ones; (members,)."""
    count = said.shape[1]
    least = float(np.average((said - truth[:, None]) ** 2, axis=0, weights=weight).min())
    root, belief = np.sqrt(weight), np.sqrt(BELIEF_LIVES * max(least, 1e-12))
    table = np.concatenate([said * root[:, None], belief * np.eye(count)])
    shares, _ = nnls(table, np.concatenate([truth * root, np.full(count, belief / count)]))
    total = float(shares.sum())
    return np.asarray(shares / total) if total > 0 else np.full(count, 1 / count)
