"""The exit codes, once: printed in `bodystream --help`, used by every command."""

from enum import IntEnum

from bodystream.errors import BodystreamError, DeviceUnavailable, UsageError


class ExitCode(IntEnum):
    """What the process tells its caller; `meaning` is the wording of the help."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> "ExitCode":
        code = int.__new__(cls, value)
        code._value_ = value
        code.meaning = meaning
        return code

    OK = 0, "ok"
    ERROR = 1, "error"
    USAGE = 2, "usage"
    SOME_FAILED = 3, "some inputs failed"
    TOO_SLOW = 4, "target FPS missed under --strict-fps"
    NO_GPU = 5, "GPU required but absent"
    INTERRUPTED = 130, "interrupted"  # 128 + SIGINT, as shells count


EXIT_CODES_HELP = "Exit codes: " + " · ".join(f"{code.value} {code.meaning}" for code in ExitCode)


def exit_code_of(error: BodystreamError) -> ExitCode:
    """The exit code that an error of the tree in `bodystream.errors` stands for."""
    if isinstance(error, UsageError):
        return ExitCode.USAGE
    if isinstance(error, DeviceUnavailable):
        return ExitCode.NO_GPU
    return ExitCode.ERROR
