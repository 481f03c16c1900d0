"""Holds the simulator against the recordings of a real ComfyUI 0.29.

Every recorded request is sent again, in the recorded order, to one simulator with one long-lived
socket, and every reply and message is compared: statuses, content types, error texts, the order
of messages, all keys, all values.

Not compared, because the recording itself could have been otherwise:
- ids, timestamps, sizes of images, paths on disk, tracebacks and inputs (cut out of the
  recordings), versions and memory in /system_stats: only their place and type;
- the lists `executed` and `current_outputs` of errors: ComfyUI builds them from sets, so their
  order is chance. They are compared as sets;
- where a `status` stands among the messages of a running prompt: it comes from another thread.
  The `status` messages are compared as a sequence of their own, and, in place, between
  the end of a prompt and its `executing: null`;
- how a recording's end overlaps the beginning of the next (the recorder read late): messages are
  put to the recording whose prompt they name;
- how soon a history entry follows the prompt's last event (there is a gap, and one recording asks
  in it): a call that found an entry is repeated until there is one. So is it left open how many
  identical polls `no_socket_at_all` needed;
- which steps `reconnect_mid_run` missed while its socket was away: that depends on the GPU's speed.
  A second prompt is sent only when the first has started, as it was in every recording. The
  prompts that are cancelled or rejoined run slowly, so that the replay acts in the same step;
- /models/diffusion_models: empty in the recording (its models were stand-ins); the simulator lists
  the models that its UNETLoader offers.
"""

import json
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from workers.comfy.simulator.options import Options
from workers.comfy.simulator.tests.client import Caller, Listener
from workers.comfy.simulator.tests.graphs import klein_graph, outline, png
from workers.comfy.simulator.threaded import ThreadedSimulator

RECORDINGS = Path(__file__).parents[2] / "recordings"

# In the order in which they were recorded: the numbers of the prompts tell.
ORDER = (
    "upload",
    "stats_and_info",
    "success",
    "cached_resubmit",
    "rejected_prompts",
    "corrupt_sketch",
    "out_of_memory",
    "black_output",
    "nan_output",
    "interrupt_running",
    "interrupt_wrong_id",
    "delete_pending_and_queue_shape",
    "jobs_cancel_api",
    "same_prompt_id_twice",
    "two_queued_in_order",
    "reconnect_mid_run",
    "no_socket_at_all",
    "view_errors",
)
STREAMED = tuple(
    name
    for name in ORDER
    if name
    not in {"upload", "stats_and_info", "rejected_prompts", "reconnect_mid_run"}
    | {"no_socket_at_all", "view_errors"}
)
ENDS = {"execution_success", "execution_error", "execution_interrupted"}
RECORDED_INPUT = "/workspace/ComfyUI/input/"


def load(name: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = json.loads((RECORDINGS / f"{name}.json").read_text())["events"]
    return events


def http_events(name: str) -> list[dict[str, Any]]:
    """The recorded calls; of identical polls in a row only one."""
    calls: list[dict[str, Any]] = []
    for event in load(name):
        if event["dir"] != "http":
            continue
        if calls and event["method"] == "GET" and is_repeated(calls[-1], event):
            continue
        calls.append(event)
    return calls


def is_repeated(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return all(first[key] == second[key] for key in ("path", "request", "status", "response"))


def recorded_messages(name: str) -> list[dict[str, Any]]:
    """The recorded messages in the form that Listener keeps."""
    messages = []
    for event in load(name):
        if event["dir"] != "ws":
            continue
        if event["kind"] == "text":
            messages.append(event["message"])
        else:
            messages.append(
                {
                    "type": f"binary {event['event']}",
                    "metadata": event.get("metadata"),
                    "image": bytes.fromhex(event["image_head_hex"]),
                }
            )
    return messages


def prompt_of(message: dict[str, Any]) -> str | None:
    about = message.get("metadata") or message.get("data") or {}
    found: str | None = about.get("prompt_id")
    return found


def graph_for(name: str, index: int) -> dict[str, Any]:
    """The graph that stands behind `<graph>` in a recording's call number `index`."""
    seed = 100 + 2 * ORDER.index(name) + index
    if name in {"success", "cached_resubmit"}:
        return klein_graph()
    if name == "corrupt_sketch":
        return klein_graph(seed=seed, image="llamasketch/junk.png")
    if name in {"interrupt_running", "jobs_cancel_api"}:
        return klein_graph(seed=seed, steps=20, denoise=1.0)
    if name == "reconnect_mid_run":
        return klein_graph(seed=seed, steps=12, denoise=1.0)
    graph = klein_graph(seed=seed)
    if name == "rejected_prompts":
        if index == 0:
            graph["4"]["inputs"]["unet_name"] = "missing.safetensors"
        elif index == 1:
            graph["1"]["inputs"]["image"] = "llamasketch/no_such_sketch.png"
        elif index == 2:
            graph["10"]["class_type"] = "NoSuchNode"
        elif index == 3:
            del graph["14"]
        elif index == 4:
            graph["10"]["inputs"]["steps"] = -3
    return graph


FAULTS = {
    "out_of_memory": "out-of-memory",
    "black_output": "black-image",
    "nan_output": "nan-image",
    # So slow that the cancel surely arrives in the step in which the recorded one arrived.
    "interrupt_running": "slow",
    "jobs_cancel_api": "slow",
    "reconnect_mid_run": "slow",  # long enough to come back in the middle
}
SLOWER = {"interrupt_running": 12, "jobs_cancel_api": 12, "reconnect_mid_run": 5}


@dataclass
class Replay:
    """All that the simulator answered."""

    input_dir: str
    replies: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    main: list[dict[str, Any]] = field(default_factory=list)
    before: list[dict[str, Any]] = field(default_factory=list)
    after: list[dict[str, Any]] = field(default_factory=list)


class Player:
    """Sends recorded calls."""

    def __init__(self, caller: Caller, replay: Replay) -> None:
        self._caller = caller
        self._replay = replay

    def break_for(self, name: str) -> None:
        if name in FAULTS:
            self._caller.fault(FAULTS[name], once=True, factor=SLOWER.get(name, 1))

    def play(self, name: str, listener: Listener | None) -> None:
        self.break_for(name)
        calls = http_events(name)
        replies = self._replay.replies[name] = []
        for index, call in enumerate(calls):
            if listener is not None:
                self._await_point(name, call, listener)
            if call["path"].startswith("/history/") and call["response"]:
                self._await_end(call)
            replies.append(self.call(name, index, call))
            if listener is not None and call["path"] == "/prompt" and call["status"] == 200:
                prompt_id = call["request"]["json"]["prompt_id"]
                self._await_start(prompt_id, listener)

    def call(self, name: str, index: int, call: dict[str, Any]) -> dict[str, Any]:
        request = call["request"]
        if "fields" in request:
            content = b"not an image" if request["image_bytes"] == 12 else png(outline())
            if request["image_bytes"] == 2928:
                content = png(outline("navy"))
            files = {"image": (request["filename"], content, "image/png")}
            options: dict[str, Any] = {"files": files, "data": request["fields"]}
        elif "json" in request:
            body = dict(request["json"])
            if body.get("prompt") == "<graph>":
                body["prompt"] = graph_for(name, index)
            options = {"json": body}
        elif call["method"] == "POST" and call["path"] == "/prompt":
            options = {"data": b"{not json"}
        else:
            options = {"params": request.get("params", {})}
        reply = self._caller.request(call["method"], call["path"], **options)
        is_json = "json" in reply.headers.get("Content-Type", "")
        return {
            "status": reply.status_code,
            "content_type": reply.headers.get("Content-Type", ""),
            "response": reply.json() if is_json else reply.content,
        }

    def _await_point(self, name: str, call: dict[str, Any], listener: Listener) -> None:
        """Wait until the messages that came before this call in the recording have come."""
        events = load(name)
        own = prompts_of(name)
        wanted = 0
        for event in events[: events.index(call)]:
            if event["dir"] == "ws" and event["kind"] == "text":
                wanted += event["message"]["data"].get("prompt_id") in own
            elif event["dir"] == "ws":
                wanted += (event["metadata"] or {}).get("prompt_id") in own
        messages = listener.messages
        listener.wait_for(lambda: sum(prompt_of(message) in own for message in messages) >= wanted)

    def _await_start(self, prompt_id: str, listener: Listener) -> None:
        running = self._caller.get("/simulator/state")["running"]
        if running and running != [prompt_id]:
            return
        messages = listener.messages
        listener.wait_for(lambda: any(prompt_of(message) == prompt_id for message in messages))

    def _await_end(self, call: dict[str, Any]) -> None:
        pause = threading.Event()
        for _ in range(400):
            if self._caller.get(call["path"]):
                return
            pause.wait(0.02)  # nothing but polling can tell: that is what is recorded


def prompts_of(name: str) -> set[str]:
    return {
        event["request"]["json"]["prompt_id"]
        for event in load(name)
        if event["dir"] == "http" and event["path"] == "/prompt" and event["status"] == 200
    }


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Replay:
    data_dir = tmp_path_factory.mktemp("simulator")
    (data_dir / "output").mkdir()
    (data_dir / "output" / "llamasketch_00001_.png").touch()  # the recordings begin with 2
    result = Replay(f"{data_dir.resolve()}/input/")
    with ThreadedSimulator(Options(data_dir, step_s=0.03)) as simulator:
        caller = Caller(simulator.url)
        player = Player(caller, result)
        main_id = load("success")[0]["request"]["json"]["client_id"]
        for name in ("upload", "stats_and_info"):
            player.play(name, None)
        with Listener(simulator.url, client_id=main_id, wants_metadata=True) as listener:
            for name in ORDER[2:-3]:
                player.play(name, None if name == "rejected_prompts" else listener)
                for prompt_id in sorted(prompts_of(name)):
                    if name != "delete_pending_and_queue_shape" and name != "jobs_cancel_api":
                        listener.wait_until_done(prompt_id)
            result.main = listener.messages
        replay_reconnect(simulator.url, player, result)
        player.play("no_socket_at_all", None)
        player.play("view_errors", None)
        caller.close()
    return result


def replay_reconnect(url: str, player: Player, result: Replay) -> None:
    name = "reconnect_mid_run"
    (call,) = http_events(name)
    client_id = call["request"]["json"]["client_id"]
    player.break_for(name)
    with Listener(url, client_id=client_id, wants_metadata=False) as first:
        result.replies[name] = [player.call(name, 0, call)]
        first.wait_for(lambda: "progress" in first.types())
    result.before = first.messages
    with Listener(url, client_id=client_id, wants_metadata=False) as second:
        second.wait_until_done(call["request"]["json"]["prompt_id"])
    result.after = second.messages


VOLATILE = {"timestamp", "create_time", "execution_start_time", "execution_end_time"}
SETS = {"executed", "current_outputs"}
CUT_OUT = {"<graph>", "<inputs>", "<traceback>"}


def compare(recorded: Any, actual: Any, where: str, replay: Replay) -> None:
    """Assert that two values say the same; see the module's docstring for what is left out."""
    key = where.rsplit(".", 1)[-1]
    if isinstance(recorded, str) and recorded in {"<graph>", "<inputs>"}:
        assert isinstance(actual, dict), where
    elif key == "traceback":
        assert all(isinstance(line, str) for line in actual), where
    elif key in VOLATILE:
        assert type(actual) is int, where
    elif key in SETS:
        assert set(recorded) == set(actual), where
    elif isinstance(recorded, dict):
        assert isinstance(actual, dict), where
        assert set(recorded) == set(actual), f"{where}: {sorted(recorded)} != {sorted(actual)}"
        for name, value in recorded.items():
            compare(value, actual[name], f"{where}.{name}", replay)
    elif isinstance(recorded, list):
        assert isinstance(actual, list), where
        assert len(recorded) == len(actual), f"{where}: {recorded} != {actual}"
        for index, pair in enumerate(zip(recorded, actual, strict=True)):
            compare(pair[0], pair[1], f"{where}[{index}]", replay)
    elif isinstance(recorded, bytes):
        assert actual.startswith(recorded), where
    elif isinstance(recorded, str):
        assert recorded.replace(RECORDED_INPUT, replay.input_dir) == actual, where
    else:
        assert type(recorded) is type(actual), f"{where}: {recorded!r} != {actual!r}"
        assert recorded == actual, f"{where}: {recorded!r} != {actual!r}"


def structure(value: Any) -> Any:
    """Reduce a value to its keys and types; of lists only the first element counts."""
    if isinstance(value, dict):
        return {key: structure(child) for key, child in value.items()}
    if isinstance(value, list):
        return [structure(child) for child in value[:1]]
    return type(value).__name__


@pytest.mark.parametrize("name", ORDER)
def test_every_recorded_call_is_answered_as_recorded(name: str, replay: Replay) -> None:
    calls = http_events(name)
    replies = replay.replies[name]

    assert len(calls) == len(replies)
    for call, reply in zip(calls, replies, strict=True):
        where = f"{name} {call['method']} {call['path']}"
        assert reply["status"] == call["status"], f"{where}: {reply}"
        if "content_type" in call:
            assert reply["content_type"] == call["content_type"], where
        recorded, actual = call["response"], reply["response"]
        if call["path"] == "/system_stats":
            assert structure(recorded) == structure(actual)
        elif call["path"] == "/models/diffusion_models":
            assert actual == ["flux-2-klein-4b.safetensors", "flux-2-klein-base-4b.safetensors"]
        elif isinstance(recorded, dict) and "head_hex" in recorded:
            compare(bytes.fromhex(recorded["head_hex"]), actual, where, replay)
            if reply["status"] == 500:
                assert len(actual) == recorded["bytes"]
        elif recorded == "":
            assert actual == b"", where
        else:
            compare(recorded, actual, where, replay)


@pytest.mark.parametrize("name", STREAMED)
def test_messages_about_a_prompt_come_in_the_recorded_order(name: str, replay: Replay) -> None:
    own = prompts_of(name)
    everything = [message for each in ORDER for message in recorded_messages(each)]
    recorded = [message for message in everything if prompt_of(message) in own]
    if name == "two_queued_in_order":
        # The recording stops at the last success; what follows is in every other recording.
        assert recorded[-1]["type"] == "execution_success"
        recorded.append(
            {"type": "executing", "data": {"node": None, "prompt_id": prompt_of(recorded[-1])}}
        )
    actual = [message for message in replay.main if prompt_of(message) in own]

    assert [message["type"] for message in actual] == [message["type"] for message in recorded]
    for index, (expected, got) in enumerate(zip(recorded, actual, strict=True)):
        compare(expected, got, f"{name} message {index} {expected['type']}", replay)


def test_first_messages_are_the_status_with_the_session_and_the_feature_flags(
    replay: Replay,
) -> None:
    recorded = recorded_messages("success")[:2]

    for expected, got in zip(recorded, replay.main[:2], strict=True):
        compare(expected, got, expected["type"], replay)


def test_queue_counts_are_told_as_often_as_recorded(replay: Replay) -> None:
    recorded = [
        message["data"]["status"]["exec_info"]["queue_remaining"]
        for name in STREAMED
        for message in recorded_messages(name)
        if message["type"] == "status"
    ]
    actual = [
        message["data"]["status"]["exec_info"]["queue_remaining"]
        for message in replay.main
        if message["type"] == "status"
    ]

    # The last status of two_queued_in_order came after its recorder had stopped.
    assert actual[: len(recorded)] == recorded
    assert actual[len(recorded) :] == [0]


def test_between_a_prompts_end_and_its_last_message_stands_one_status(replay: Replay) -> None:
    streams = {
        "recorded": [message for name in STREAMED for message in recorded_messages(name)],
        "actual": replay.main,
    }
    for which, messages in streams.items():
        for index, message in enumerate(messages):
            if message["type"] in ENDS and index + 2 < len(messages):
                following = [each["type"] for each in messages[index + 1 : index + 3]]
                assert following == ["status", "executing"], f"{which}: {message}"


def test_a_client_that_rejoins_is_told_the_node_and_gets_plain_previews(replay: Replay) -> None:
    recorded = recorded_messages("reconnect_mid_run")
    cut = [index for index, message in enumerate(recorded) if "sid" in message.get("data", {})]
    own = prompts_of("reconnect_mid_run")
    before = [message for message in recorded[: cut[1]] if prompt_of(message) in own]
    got_before = [message for message in replay.before if prompt_of(message) in own]
    after = recorded[cut[1] :]

    for expected, got in zip(before, got_before, strict=False):
        compare(expected, got, f"before {expected['type']}", replay)
    assert len(got_before) >= len(before)
    assert [message["type"] for message in replay.after[:2]] == ["status", "executing"]
    compare(after[1], replay.after[1], "after executing", replay)
    # Steps were missed on both sides, not the same ones: compare from the last four on.
    tail = last_steps(after, own)
    got_tail = last_steps(replay.after, own)
    assert [message["type"] for message in tail] == [message["type"] for message in got_tail]
    for expected, got in zip(tail, got_tail, strict=True):
        if expected["type"] == "binary 1":
            assert got["image"].startswith(expected["image"])
        else:
            compare(expected, got, f"after {expected['type']}", replay)


def last_steps(messages: list[dict[str, Any]], own: set[str]) -> list[dict[str, Any]]:
    ninth = next(
        index
        for index, message in enumerate(messages)
        if message["type"] == "progress" and message["data"]["value"] == 9
    )
    return [
        message
        for message in messages[ninth:]
        if prompt_of(message) in own or message["type"].startswith("binary")
    ]


def test_every_recording_is_replayed() -> None:
    assert {path.stem for path in RECORDINGS.glob("*.json")} == set(ORDER)


def test_recordings_name_no_unknown_placeholder() -> None:
    for name in ORDER:
        found = set(re.findall(r"<[a-z_]+>", json.dumps(load(name))))
        assert found <= CUT_OUT, name
