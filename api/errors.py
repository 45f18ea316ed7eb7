"""Every error that a user can meet, as one tree.

    BodystreamError                     anything below: one clear line, never a traceback
    ├── UsageError (ValueError)         a flag or an argument that cannot be obeyed          exit 2
    │   └── UnknownSuffix               no writer for this file suffix                       exit 2
    ├── SourceError (OSError)           the input
    │   ├── SourceNotFound              no such file, folder, pattern or camera
    │   ├── SourceUnreadable            there, but not a video or picture that FFmpeg opens
    │   └── StreamLost                  a live stream went away and did not come back
    ├── SinkError (OSError)             the output
    │   ├── OutputExists                would overwrite a file, or the input itself
    │   └── OutputFailed                unwritable, disk full, encoder refused
    ├── ResultsError (ValueError)       a results file that is not bodystream/1
    ├── ModelError                      weights and networks
    │   ├── WeightsMissing (OSError)    not in the cache and not to be had: offline, no network
    │   ├── WeightsCorrupt (ValueError) wrong sha256, wrong size, not the expected contents
    │   ├── WeightsMismatch (ValueError) names or shapes that do not fit the network
    │   ├── ExportFailed                the ONNX file does not agree with torch
    │   └── DeviceUnavailable           CUDA was required and does not really run            exit 5
    ├── StageFailed                     a stage of the pipeline raised in mid-run
    └── TrainingFailed                  a process of a training ended, or its loss is no number

Each class also is the built-in error named beside it, so that `except OSError` works as expected.
A message says what happened, what was expected and found, and what to do.
"""


class BodystreamError(Exception):
    """The root: catch this one to catch everything that bodystream raises on purpose."""


class UsageError(BodystreamError, ValueError):
    """A flag or an argument that cannot be obeyed."""


class UnknownSuffix(UsageError):
    """No writer for this file suffix; the message lists the known ones."""


class SourceError(BodystreamError, OSError):
    """The input could not be opened or read."""


class SourceNotFound(SourceError, FileNotFoundError):
    """No such file, folder, pattern or camera."""


class SourceUnreadable(SourceError):
    """The input is there, but is not a video or picture that FFmpeg opens."""


class StreamLost(SourceError, ConnectionError):
    """A live stream went away and did not come back within the bounded retries."""


class SinkError(BodystreamError, OSError):
    """The output could not be opened or written."""


class OutputExists(SinkError, FileExistsError):
    """Writing would overwrite an existing file, or the input itself."""


class OutputFailed(SinkError):
    """The output is unwritable, the disk is full, or the encoder refused."""


class ResultsError(BodystreamError, ValueError):
    """A results file that is not `bodystream/1`."""


class ModelError(BodystreamError):
    """Weights and networks."""


class WeightsMissing(ModelError, OSError):
    """Weights that are not in the cache and cannot be fetched."""


class WeightsCorrupt(ModelError, ValueError):
    """Weights of another hash, size or content than the zoo states."""


class WeightsMismatch(ModelError, ValueError):
    """Weights whose names or shapes do not fit the network that they are meant for."""


class ExportFailed(ModelError, RuntimeError):
    """An exported ONNX file that does not agree with its torch module."""


class DeviceUnavailable(ModelError, RuntimeError):
    """CUDA was required and does not really run here."""


class StageFailed(BodystreamError, RuntimeError):
    """A stage of the pipeline raised in mid-run; `__cause__` holds the original error."""


class TrainingFailed(BodystreamError, RuntimeError):
    """A process of a training run ended, or its loss is no longer a number."""
