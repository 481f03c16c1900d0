"""The record that GET /api/jobs/{id} answers, made from the queue and the history."""

from typing import Any

from workers.comfy.simulator.prompt_queue import PromptQueue, QueuedPrompt

_ENDS = ("execution_success", "execution_error", "execution_interrupted")


def find_job(queue: PromptQueue, prompt_id: str) -> dict[str, Any] | None:
    """Describe a job; None when neither the queue nor the history knows it.

    The history is asked last and the queue first: a prompt that finishes meanwhile is found.
    """
    for prompt in queue.running():
        if prompt.prompt_id == prompt_id:
            return _queued(prompt, "in_progress")
    for prompt in queue.pending():
        if prompt.prompt_id == prompt_id:
            return _queued(prompt, "pending")
    entry = queue.history(prompt_id).get(prompt_id)
    if entry is not None:
        return _finished(prompt_id, entry)
    # Between two looks the prompt may have gone from pending to running.
    for prompt in queue.running():
        if prompt.prompt_id == prompt_id:
            return _queued(prompt, "in_progress")
    return None


def _queued(prompt: QueuedPrompt, status: str) -> dict[str, Any]:
    return {
        "id": prompt.prompt_id,
        "status": status,
        "priority": prompt.number,
        "create_time": prompt.extra_data["create_time"],
        "outputs_count": 0,
    }


def _finished(prompt_id: str, entry: dict[str, Any]) -> dict[str, Any]:
    number, _, graph, extra_data, _ = entry["prompt"]
    messages = dict(entry["status"]["messages"])
    outputs = entry["outputs"]
    job: dict[str, Any] = {
        "id": prompt_id,
        "status": _status(entry["status"]["status_str"], messages),
        "priority": number,
        "create_time": extra_data["create_time"],
        "execution_start_time": messages.get("execution_start", {}).get("timestamp"),
        "execution_end_time": next(
            (messages[end]["timestamp"] for end in _ENDS if end in messages), None
        ),
        "execution_error": messages.get("execution_error"),
        "outputs_count": sum(
            len(files) for output in outputs.values() for files in output.values()
        ),
        "preview_output": _preview(outputs),
        "outputs": outputs,
        "execution_status": entry["status"],
        "workflow": {"prompt": graph},
    }
    return {key: value for key, value in job.items() if value is not None}


def _status(status: str, messages: dict[str, Any]) -> str:
    if status == "success":
        return "completed"
    return "cancelled" if "execution_interrupted" in messages else "failed"


def _preview(outputs: dict[str, Any]) -> dict[str, Any] | None:
    found: dict[str, Any] | None = None
    for node_id, output in outputs.items():
        for media_type, files in output.items():
            for file in files:
                candidate = {**file, "nodeId": node_id, "mediaType": media_type}
                if file.get("type") == "output":
                    return candidate
                found = found or candidate
    return found
