"""Files that appear when all of them are right, or not at all."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bodystream.errors import BodystreamError, ModelError


@contextmanager
def whole_or_not_at_all(targets: Sequence[Path]) -> Iterator[list[Path]]:
    """Names beside `targets` to write to, which take their places when all went well and are gone when not."""
    parts = [target.with_name(f"{target.name}.{uuid.uuid4().hex}.part") for target in targets]
    target = targets[0]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield parts
        for part, target in zip(parts, targets, strict=True):
            part.replace(target)
    except OSError as error:
        if isinstance(error, BodystreamError):
            raise
        raise ModelError(f"{target} cannot be written: {error.strerror}; name another folder") from error
    finally:
        for part in parts:
            if part.exists():
                part.unlink()
