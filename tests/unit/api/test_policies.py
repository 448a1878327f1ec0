import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute

from api.app import all_routes
from api.auth import PUBLIC, Policy, Public, ReaderAny, assert_policies, policy_of
from core.errors import ForecareError


def routes_of(router: APIRouter) -> list[APIRoute]:
    return [route for route in router.routes if isinstance(route, APIRoute)]


def test_every_route_says_who_may_call_it() -> None:
    missing = [route.path for route in all_routes() if not isinstance(policy_of(route), Policy)]

    assert missing == []


def test_the_public_routes_are_these_and_no_others() -> None:
    public = {
        (min(route.methods or ()), route.path)
        for route in all_routes()
        if isinstance(policy_of(route), Public)
    }

    assert public == {
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("POST", "/api/v1/session"),
        ("GET", "/api/v1/links/{token}"),
        ("POST", "/api/v1/links/{token}/appointment"),
        ("GET", "/claim"),
        ("GET", "/claim/{code}"),
        ("POST", "/claim"),
        ("POST", "/claim/register"),
        ("GET", "/sign-in"),
        ("POST", "/sign-in"),
        ("GET", "/enter/{token}"),
        ("POST", "/enter/{token}"),
        ("GET", "/t/{token}"),
        ("POST", "/t/{token}/visit"),
        ("POST", "/t/{token}/visit/cancel"),
        ("GET", "/static/{version}/{name:path}"),
    }


def test_a_route_without_a_policy_stops_the_application() -> None:
    router = APIRouter()

    @router.get("/forgotten")
    def forgotten() -> str:
        return "everybody may read this"

    with pytest.raises(ForecareError, match="/forgotten names no policy"):
        assert_policies(routes_of(router))


def test_a_form_without_its_secret_stops_the_application() -> None:
    router = APIRouter()

    @router.post("/careless")
    def careless(_person: ReaderAny) -> str:
        return "changed"

    with pytest.raises(ForecareError, match="/careless changes something"):
        assert_policies(routes_of(router))


def test_two_policies_are_as_wrong_as_none() -> None:
    router = APIRouter()

    @router.get("/torn", dependencies=[PUBLIC])
    def torn(_person: ReaderAny) -> str:
        return "which of them holds?"

    assert [policy_of(route) for route in routes_of(router)] == [None]
