"""What can go wrong between us and a ComfyUI server.

    ComfyError
    ├── NodeUnreachable      the request surely had no effect
    ├── OutcomeUnknown       the request may have been received and obeyed
    ├── Refused              the server said no, and why
    │   └── LoginRequired    an authenticating proxy answered, not ComfyUI
    ├── BadReply             an answer that ComfyUI's interface does not allow
    └── FileError
        ├── FileMissing      no such file: not yet, or not any more
        ├── FileWaiting      the node pack has promised it and not written it yet
        ├── SaveFailed       the node pack could not write it: it never comes
        ├── TruncatedFile    empty, or it ends before its format says it does
        └── FileTooLarge     more bytes than the caller takes

The first three must never be mixed up: after NodeUnreachable sending again is safe, after
OutcomeUnknown the caller asks for the prompt first, and after Refused the same request fails the
same way. `code` is stable; `str(error)` is a sentence without prompts, paths of ours, or
tracebacks.
"""

from dataclasses import dataclass
from typing import ClassVar


class ComfyError(Exception):
    """Something went wrong with a ComfyUI server."""

    code: ClassVar[str] = "comfy_error"


class NodeUnreachable(ComfyError):
    """Nothing was done: no connection, or a reading request without an answer.

    Args:
        timed_out: the server was silent for too long, rather than refusing or hanging up. Trying
            again at once would only wait as long again.
    """

    code = "node_unreachable"

    def __init__(self, message: str, *, timed_out: bool = False) -> None:
        super().__init__(message)
        self.timed_out = timed_out


class OutcomeUnknown(ComfyError):
    """The request was sent, and no answer tells whether it was obeyed.

    Args:
        status: the HTTP status, where there was one (a 5xx).
    """

    code = "outcome_unknown"

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class NodeProblem:
    """One reason why a graph node was refused."""

    node_id: str
    class_type: str
    type: str  # ComfyUI's word, such as value_not_in_list
    input_name: str | None
    message: str


class Refused(ComfyError):
    """The server understood the request and said no; nothing was queued.

    `reason` says why in one word: missing_model, missing_node_class, missing_input, bad_value,
    no_outputs, partly_refused, bad_upload, forbidden, or refused for everything else. At most one
    of the three `missing_…` attributes is set; where several things are missing it names the
    first.

    Args:
        error_type: ComfyUI's own word for the refusal, such as prompt_outputs_failed_validation.
    """

    code = "refused"

    def __init__(
        self,
        message: str,
        *,
        reason: str = "refused",
        status: int = 400,
        error_type: str = "",
        node_errors: tuple[NodeProblem, ...] = (),
        missing_model: str | None = None,
        missing_node_class: str | None = None,
        missing_input: str | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status
        self.error_type = error_type
        self.node_errors = node_errors
        self.missing_model = missing_model
        self.missing_node_class = missing_node_class
        self.missing_input = missing_input

    @property
    def lacks_something(self) -> bool:
        """Whether another server, with more models or node classes, might take the same graph."""
        return self.missing_model is not None or self.missing_node_class is not None


class LoginRequired(Refused):
    """A proxy wants a login: the address is not that of ComfyUI itself."""

    code = "login_required"


class BadReply(ComfyError):
    """The answer does not have the shape that ComfyUI's interface promises."""

    code = "bad_reply"


class FileError(ComfyError):
    """A file could not be fetched whole."""

    code = "file_error"


class FileMissing(FileError):
    """The server has no such file; with the node pack it may come a moment later."""

    code = "file_missing"


class FileWaiting(FileError):
    """The node pack has promised the file and not written it yet; it is worth waiting for."""

    code = "file_waiting"


class SaveFailed(FileError):
    """The node pack could not write the file: it never comes.

    Args:
        problem: what the pack says went wrong, without a path.
    """

    code = "save_failed"

    def __init__(self, problem: str) -> None:
        super().__init__(f"The server could not write the file: {problem}")
        self.problem = problem


class TruncatedFile(FileError):
    """The file is empty, damaged, or ends too early; it may be whole a moment later."""

    code = "truncated_file"


class FileTooLarge(FileError):
    """The file is larger than the caller takes."""

    code = "file_too_large"
