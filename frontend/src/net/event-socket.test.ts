import { afterEach, describe, expect, test, vi } from "vitest";
import { EXAMPLE_USAGE, exampleJob } from "../core/job-example";
import { hasGap, type JobsState, NO_JOBS, reduceJobs, type ServerMessage } from "../core/jobs";
import { type Connection, EventSocket } from "./event-socket";

/** A WebSocket whose other end is the test. */
class FakeSocket extends EventTarget {
  static readonly opened: FakeSocket[] = [];
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static readonly CLOSING = 2;
  static readonly CLOSED = 3;
  readonly sent: unknown[] = [];
  readyState = FakeSocket.CONNECTING;
  binaryType = "blob";

  constructor(readonly url: string) {
    super();
    FakeSocket.opened.push(this);
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(code = 1000): void {
    this.end(code);
  }

  open(): void {
    this.readyState = FakeSocket.OPEN;
    this.dispatchEvent(new Event("open"));
  }

  say(message: ServerMessage | string): void {
    const data = typeof message === "string" ? message : JSON.stringify(message);
    this.dispatchEvent(Object.assign(new Event("message"), { data }));
  }

  end(code: number): void {
    if (this.readyState === FakeSocket.CLOSED) return;
    this.readyState = FakeSocket.CLOSED;
    this.dispatchEvent(Object.assign(new Event("close"), { code, reason: "", wasClean: true }));
  }
}

function started() {
  vi.useFakeTimers();
  FakeSocket.opened.length = 0;
  let state: JobsState = NO_JOBS;
  const connections: Connection[] = [];
  const socket = new EventSocket({
    url: "ws://studio.test/ws/events/",
    seen: () => state.seq,
    onMessage: (message) => {
      state = reduceJobs(state, message);
      return !hasGap(state);
    },
    onConnection: (connection) => connections.push(connection),
    WebSocket: FakeSocket,
    timers: { set: (act, delay_ms) => setTimeout(act, delay_ms) as unknown as number, clear: clearTimeout },
  });
  return { socket, connections, state: () => state };
}

/** Wait for the next attempt and let it through. */
async function connected(): Promise<FakeSocket> {
  for (let waited_ms = 0; waited_ms < 20_000; waited_ms += 100) {
    await vi.advanceTimersByTimeAsync(100);
    const latest = FakeSocket.opened.at(-1);
    if (latest?.readyState === FakeSocket.CONNECTING) {
      latest.open();
      return latest;
    }
  }
  throw new Error("no attempt to connect");
}

const snapshot = (seq: number): ServerMessage => ({ type: "snapshot", seq, jobs: [], usage: EXAMPLE_USAGE });
const event = (seq: number): ServerMessage => ({
  type: "event",
  seq,
  event: { type: "job.queued", job: exampleJob({ id: `j${seq}` }) },
});

afterEach(() => {
  vi.useRealTimers();
});

describe("the event socket", () => {
  test("connects with what was seen and acknowledges at most once a second", async () => {
    const { socket, connections, state } = started();
    const server = await connected();
    expect(server.url).toBe("ws://studio.test/ws/events/?since=0");
    for (const message of [snapshot(4), event(5), event(6)]) server.say(message);
    expect(server.sent).toEqual([]);
    await vi.advanceTimersByTimeAsync(1000);
    expect(server.sent).toEqual([{ type: "ack", seq: 6 }]);
    expect(connections).toEqual(["connecting", "online"]);
    expect(state().seq).toBe(6);
    socket.dispose();
  });

  test("answers a ping at once", async () => {
    const { socket } = started();
    const server = await connected();
    server.say(snapshot(3));
    server.say({ type: "ping", seq: 3 });
    expect(server.sent).toEqual([{ type: "ack", seq: 3 }]);
    socket.dispose();
  });

  test("a missing event makes it connect again from the last one it has", async () => {
    const { socket, state } = started();
    const first = await connected();
    first.say(snapshot(1));
    first.say(event(3));
    const second = await connected();
    expect(second).not.toBe(first);
    expect(second.url).toContain("since=1");
    second.say(snapshot(3));
    expect(hasGap(state())).toBe(false);
    socket.dispose();
  });

  test("a closed connection shows itself and mends itself", async () => {
    const { socket, connections } = started();
    const first = await connected();
    first.say(snapshot(2));
    first.end(1006);
    expect(connections.at(-1)).toBe("offline");
    const second = await connected();
    expect(second.url).toContain("since=2");
    expect(connections.at(-1)).toBe("online");
    socket.dispose();
  });

  test("silence counts as a dead connection", async () => {
    const { socket, connections } = started();
    const first = await connected();
    first.say(snapshot(1));
    await vi.advanceTimersByTimeAsync(46_000);
    expect(FakeSocket.opened.length).toBeGreaterThan(1);
    expect(connections).toContain("offline");
    socket.dispose();
  });

  test("being signed out ends the attempts", async () => {
    const { socket, connections } = started();
    (await connected()).end(4401);
    const count = FakeSocket.opened.length;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(FakeSocket.opened).toHaveLength(count);
    expect(connections.at(-1)).toBe("signed-out");
    socket.dispose();
  });

  test("what cannot be read is left out", async () => {
    const { socket, state } = started();
    const server = await connected();
    server.say(snapshot(1));
    for (const text of ["nonsense", '{"type":"event","seq":"x"}', '{"type":"confetti"}']) server.say(text);
    expect(state().seq).toBe(1);
    socket.dispose();
  });

  test("after dispose nothing is opened, sent or said", async () => {
    const { socket, connections } = started();
    const server = await connected();
    socket.dispose();
    const said = connections.length;
    server.say(snapshot(9));
    await vi.advanceTimersByTimeAsync(120_000);
    expect(FakeSocket.opened).toHaveLength(1);
    expect(connections).toHaveLength(said);
  });
});
