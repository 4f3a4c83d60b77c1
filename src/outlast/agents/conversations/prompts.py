"""What a user says, as pydantic-ai's prompt: text, and files by their addresses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from pydantic_ai import AudioUrl, DocumentUrl, ImageUrl, VideoUrl
from pydantic_ai.messages import UserContent

from outlast.agents.conversations.entries import Attachment

Prompt: TypeAlias = str | list[UserContent]


def prompt_of(text: str, attachments: Sequence[Attachment] | None) -> Prompt:
    """Return what the model is told."""
    if not attachments:
        return text
    return [text, *(_url(attachment) for attachment in attachments)]


def _url(attachment: Attachment) -> UserContent:
    media_type = attachment.media_type or None
    kind = attachment.media_type.partition("/")[0]
    if kind == "image":
        return ImageUrl(attachment.url, media_type=media_type)
    if kind == "audio":
        return AudioUrl(attachment.url, media_type=media_type)
    if kind == "video":
        return VideoUrl(attachment.url, media_type=media_type)
    return DocumentUrl(attachment.url, media_type=media_type)
