"""The machine-readable description of this interface, for those who may use it."""

from typing import Any

from fastapi import APIRouter, Request

from api.auth import CallerAny

router = APIRouter(include_in_schema=False)


@router.get("/api/v1/openapi.json")
def schema(_person: CallerAny, request: Request) -> dict[str, Any]:
    described: dict[str, Any] = request.app.openapi()
    return described
