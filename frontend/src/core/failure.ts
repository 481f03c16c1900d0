/** Failures in words: what happened, whether it cost anything, and what to press now. */
import type { Job } from "./job";
import type { Refusal } from "./submission";

export type FailureAction = "try-again" | "sign-in" | "wait";

export type Failure = {
  readonly title: string;
  readonly detail: string;
  readonly cost: string;
  readonly action: FailureAction;
};

const NOT_CHARGED = "Nothing was charged.";
const CHARGED = "This image was charged.";

/** Titles by error code; the server's own sentences are the detail. */
const JOB_TITLES: Readonly<Record<string, string>> = {
  node_failed: "The image machine broke off",
  out_of_memory: "The GPU ran out of memory",
  blank_image: "The picture came out empty",
  no_model: "The model is missing",
  graph_refused: "The image machine refused",
  sketch_unreadable: "The drawing could not be read",
  sketch_missing: "The drawing got lost",
  storage_full: "The server is full",
  waited_too_long: "No image machine was free",
};

/** Failures of the stored sketch: the drawing must be sent anew. */
const LOST_SKETCH = new Set(["sketch_unreadable", "sketch_missing"]);

export function jobFailure(job: Job): Failure {
  const code = job.error?.code ?? "";
  const detail = job.error?.message ?? "The image could not be made.";
  return {
    title: JOB_TITLES[code] ?? "That did not work",
    detail,
    cost: costOf(detail, job.charged ? CHARGED : NOT_CHARGED),
    action: "try-again",
  };
}

/** Whether trying the job again as it is can help. */
export function isRetryable(job: Job): boolean {
  return job.state === "failed" && !LOST_SKETCH.has(job.error?.code ?? "");
}

/** Say what it cost, unless the detail has said it. */
function costOf(detail: string, cost: string): string {
  return /charged/i.test(detail) ? "" : cost;
}

export function refusalFailure(refusal: Refusal): Failure {
  const { message } = refusal;
  switch (refusal.code) {
    case "quota_exhausted":
      return {
        title: "That was all for today",
        detail: message,
        cost: costOf(message, NOT_CHARGED),
        action: "wait",
      };
    case "too_many_waiting":
      return {
        title: "Your queue is full",
        detail: message,
        cost: costOf(message, NOT_CHARGED),
        action: "try-again",
      };
    case "not_authenticated":
      return {
        title: "You are signed out",
        detail: "Sign in again; your drawing is kept on this device.",
        cost: NOT_CHARGED,
        action: "sign-in",
      };
    case "network":
      return {
        title: "The server cannot be reached",
        detail: "Your drawing is safe on this device. Check the connection and try again.",
        cost: "If the image was accepted after all, it appears in your history.",
        action: "try-again",
      };
    default:
      return {
        title: "The image was not accepted",
        detail: message,
        cost: costOf(message, NOT_CHARGED),
        action: "try-again",
      };
  }
}
