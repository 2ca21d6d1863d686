"""Which embedder the settings mean."""

from __future__ import annotations

from mimo_server.errors import SettingsError
from mimo_server.kinds import LEXICAL
from mimo_server.memory.embed import Embedder, LexicalEmbedder
from mimo_server.memory.endpoint import Endpoint, EndpointEmbedder
from mimo_server.settings import Settings


def embedder(settings: Settings) -> Embedder:
    """The lexical one, or the endpoint's. Raises SettingsError when the endpoint has no model."""
    if settings.embeddings == LEXICAL:
        return LexicalEmbedder(settings.dimensions)
    if settings.embeddings_model is None:
        raise SettingsError(
            f"--embeddings {settings.embeddings} needs a model; name one that it has with --embeddings-model"
        )
    return EndpointEmbedder(
        Endpoint(
            url=settings.embeddings,
            model=settings.embeddings_model,
            dimensions=settings.dimensions,
            key=settings.embeddings_key,
            timeout_s=settings.embeddings_timeout,
        )
    )
