"""What goes in and out, for the OpenAPI document.

Takes: nothing. Gives: pydantic models of the answers, and what is said of bodies and refusals. Nothing is checked by
them at run time: answers are made in `service`, and tests compare them with these.
"""

from typing import Any

from pydantic import BaseModel, Field


class OneGuess(BaseModel):
    """A kind that the photo may show."""

    label: int
    name: str
    probability: float = Field(description="over all kinds they sum to 1; calibrated in the shipped model")


class OnePhoto(BaseModel):
    """What is said of a photo."""

    top: list[OneGuess] = Field(description="likeliest first")
    unknown: bool | None = Field(description="whether it shows none of the kinds; null where the model cannot say")
    score: float | None = Field(description="how much it looks like one of the kinds")
    limit: float | None = Field(description="what photos of the kinds reach")
    model: str
    saliency: str | None = Field(None, description="with saliency=1: a picture of where the model looked, as data:")


class OneError(BaseModel):
    """Why there is no answer, in one line."""

    error: str


class OneKind(BaseModel):
    """A kind that the model knows."""

    label: int
    name: str
    drawing: str | None = Field(description="address of a small drawing of it, where there is one")


PHOTO = {"schema": {"type": "string", "format": "binary"}}
PHOTOS = {"schema": {"type": "array", "items": {"type": "string", "description": "a photo as base64"}}}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"image/jpeg": PHOTO, "image/png": PHOTO, "image/webp": PHOTO, "application/json": PHOTOS},
    }
}

REASONS = {
    400: "The request is broken.",
    401: "The server wants its key.",
    408: "The body did not arrive in time.",
    413: "More bytes, pixels or photos than the limits.",
    415: "No JPEG, PNG or WebP.",
    422: "Empty, damaged, no base64, or a parameter that makes no sense.",
    429: "Too many photos of your address are in work already.",
    503: "Loading, overloaded or too slow: try again after the seconds in Retry-After.",
}


def errors(*codes: int) -> dict[int | str, dict[str, Any]]:
    """What a route may refuse with."""
    return {code: {"model": OneError, "description": REASONS[code]} for code in codes or REASONS}
