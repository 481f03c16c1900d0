/**
 * The event socket: keeps a connection, says what it brings, mends itself.
 *
 * It connects with the highest seq that was seen, acknowledges at most once a second and on every ping, and
 * connects again when a message is missing or silence lasts longer than two pings.
 */
import ReconnectingWebSocket from "partysocket/ws";
import type { ServerMessage } from "../core/jobs";
import { ApiError } from "./api-error";
import { readMessage } from "./read-message";

export type Connection = "connecting" | "online" | "offline" | "signed-out";

export type EventSocketOptions = {
  /** `wss://host/ws/events/` */
  readonly url: string;
  /** Highest seq up to which nothing is missing. */
  readonly seen: () => number;
  /** Take a message; answer false when one before it is missing. */
  readonly onMessage: (message: ServerMessage) => boolean;
  readonly onConnection: (connection: Connection) => void;
  readonly timers?: Timers;
  /** Another implementation than the browser's, for tests. */
  readonly WebSocket?: unknown;
};

export type Timers = {
  readonly set: (act: () => void, delay_ms: number) => number;
  readonly clear: (timer: number) => void;
};

const ACK_EVERY_MS = 1000;
/** The server pings every 20 s; two missed pings and a little are a dead connection. */
const SILENCE_MS = 45_000;
const CLOSED_NOT_SIGNED_IN = 4401;

const BROWSER_TIMERS: Timers = {
  set: (act, delay_ms) => self.setTimeout(act, delay_ms),
  clear: (timer) => self.clearTimeout(timer),
};

export class EventSocket {
  private readonly socket: ReconnectingWebSocket;
  private readonly timers: Timers;
  private ackTimer: number | null = null;
  private silenceTimer: number | null = null;
  private mending = false;

  constructor(private readonly options: EventSocketOptions) {
    this.timers = options.timers ?? BROWSER_TIMERS;
    options.onConnection("connecting");
    this.socket = new ReconnectingWebSocket(() => `${options.url}?since=${options.seen()}`, null, {
      minReconnectionDelay: 500,
      maxReconnectionDelay: 8000,
      reconnectionDelayGrowFactor: 1.6,
      connectionTimeout: 8000,
      minUptime: 3000,
      // An acknowledgement for a dead connection means nothing to the next one.
      maxEnqueuedMessages: 0,
      ...(options.WebSocket === undefined ? {} : { WebSocket: options.WebSocket }),
      shouldReconnectOnClose: (event) => event.code !== CLOSED_NOT_SIGNED_IN,
    });
    this.socket.addEventListener("open", this.opened);
    this.socket.addEventListener("message", this.received);
    this.socket.addEventListener("close", this.closed);
  }

  /** Connect again now; for when the browser says that the network is back. */
  reconnect(): void {
    this.mending = false;
    this.socket.reconnect();
  }

  dispose(): void {
    this.stopTimers();
    this.socket.removeEventListener("open", this.opened);
    this.socket.removeEventListener("message", this.received);
    this.socket.removeEventListener("close", this.closed);
    this.socket.close();
  }

  private readonly opened = (): void => {
    this.mending = false;
    this.options.onConnection("online");
    this.expectNews();
  };

  private readonly closed = (event: { readonly code: number }): void => {
    this.stopTimers();
    this.options.onConnection(event.code === CLOSED_NOT_SIGNED_IN ? "signed-out" : "offline");
  };

  private readonly received = (event: MessageEvent): void => {
    this.expectNews();
    const message = readText(event.data);
    if (message === null) return;
    const complete = this.options.onMessage(message);
    if (message.type === "ping") this.acknowledge();
    else if (message.type === "event" || message.type === "snapshot") this.acknowledgeSoon();
    if (!complete && !this.mending) {
      this.mending = true;
      this.socket.reconnect();
    }
  };

  private acknowledge(): void {
    if (this.socket.readyState !== this.socket.OPEN) return;
    this.socket.send(JSON.stringify({ type: "ack", seq: this.options.seen() }));
  }

  private acknowledgeSoon(): void {
    if (this.ackTimer !== null) return;
    this.ackTimer = this.timers.set(() => {
      this.ackTimer = null;
      this.acknowledge();
    }, ACK_EVERY_MS);
  }

  /** A connection can die without a close; silence tells. */
  private expectNews(): void {
    if (this.silenceTimer !== null) this.timers.clear(this.silenceTimer);
    this.silenceTimer = this.timers.set(() => {
      this.options.onConnection("offline");
      this.reconnect();
    }, SILENCE_MS);
  }

  private stopTimers(): void {
    if (this.ackTimer !== null) this.timers.clear(this.ackTimer);
    if (this.silenceTimer !== null) this.timers.clear(this.silenceTimer);
    this.ackTimer = null;
    this.silenceTimer = null;
  }
}

/** A message that cannot be read is left out; the gap that it leaves mends it. */
function readText(data: unknown): ServerMessage | null {
  if (typeof data !== "string") return null;
  try {
    return readMessage(data);
  } catch (error) {
    if (error instanceof ApiError || error instanceof SyntaxError) return null;
    throw error;
  }
}
