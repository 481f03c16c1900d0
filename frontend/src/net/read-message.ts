/** Readers for what comes over the event socket. */
import type { JobEvent, ServerMessage } from "../core/jobs";
import { readJob, readUsage } from "./read-job";
import {
  type Json,
  listOf,
  nullable,
  objectOf,
  oneOf,
  type Reader,
  readNumber,
  readString,
} from "./read-json";

type Of<Type extends ServerMessage["type"]> = Omit<Extract<ServerMessage, { type: Type }>, "type">;

const readType = objectOf<{ type: string }>({ type: readString });

const readEvent = objectOf<JobEvent>({
  type: oneOf(
    "job.queued",
    "job.claimed",
    "job.submitted",
    "job.running",
    "job.saving",
    "job.succeeded",
    "job.failed",
    "job.cancelled",
    "job.requeued",
    "job.cancel_requested",
  ),
  job: readJob,
});

const readSnapshot: Reader<Of<"snapshot">> = objectOf({
  seq: readNumber,
  jobs: listOf(readJob),
  usage: readUsage,
});
const readSeqEvent: Reader<Of<"event">> = objectOf({ seq: readNumber, event: readEvent });
const readProgress: Reader<Of<"progress">> = objectOf({
  job_id: readString,
  step: readNumber,
  steps: readNumber,
  preview_url: nullable(readString),
});
const readQueue: Reader<Of<"queue">> = objectOf({
  jobs: listOf(objectOf({ id: readString, position: nullable(readNumber), eta_s: nullable(readNumber) })),
});
const readUsageMessage: Reader<Of<"usage">> = objectOf({ usage: readUsage });
const readPing: Reader<Of<"ping">> = objectOf({ seq: readNumber });

/** Read one message; null for a type that a newer server may send and this studio does not know. */
export function readMessage(text: string): ServerMessage | null {
  const value: Json = JSON.parse(text);
  const { type } = readType(value, "message");
  switch (type) {
    case "snapshot":
      return { type, ...readSnapshot(value, type) };
    case "event":
      return { type, ...readSeqEvent(value, type) };
    case "progress":
      return { type, ...readProgress(value, type) };
    case "queue":
      return { type, ...readQueue(value, type) };
    case "usage":
      return { type, ...readUsageMessage(value, type) };
    case "ping":
      return { type, ...readPing(value, type) };
    default:
      return null;
  }
}
