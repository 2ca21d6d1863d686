"""What a data folder holds, and how many bytes of the disk each part takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mimo_server.memory import mapped, schema, seal
from mimo_server.upkeep.folder import Folder


def counted(folder: Folder) -> dict[str, Any]:
    """As JSON: memories in all and by category, form, bytes on the disk (blocks, not lengths) by part."""
    by_category = {
        str(category): count
        for category, count in folder.db.execute("SELECT category, count(*) FROM engrams GROUP BY category ORDER BY 1")
    }
    memories = folder.count()
    parts = {
        "database": sum(_bytes(folder.path / f"{schema.FILE}{end}") for end in ("", "-wal", "-shm")),
        "index": sum(_bytes(path) for path in (folder.path / mapped.FOLDER).rglob("*")),
        "seal": _bytes(folder.path / seal.FILE),
    }
    return {
        "memories": memories,
        "by_category": by_category,
        "dimensions": folder.form.dimensions,
        "embeddings": folder.form.codec,
        "embedder": folder.form.embedder,
        "bytes": parts,
        "bytes_per_memory": round(sum(parts.values()) / memories, 1) if memories else None,
    }


def _bytes(path: Path) -> int:
    return path.stat().st_blocks * 512 if path.is_file() else 0
