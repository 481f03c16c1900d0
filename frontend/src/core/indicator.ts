/** The indicator: one thing to say about the image, or the batch, that the user looks at. */
import { type Batch, batchText } from "./batch";
import { type Failure, jobFailure, refusalFailure } from "./failure";
import { isTerminal, type Job } from "./job";
import { unreachable } from "./never";
import { refusalForCard, type Submission } from "./submission";

export type Indicator =
  | { readonly type: "nothing" }
  | { readonly type: "drawing" }
  | { readonly type: "sending" }
  | { readonly type: "waiting"; readonly place: number | null; readonly seconds: number | null }
  | { readonly type: "starting" }
  | { readonly type: "rendering"; readonly step: number; readonly steps: number }
  | { readonly type: "saving" }
  | { readonly type: "cancelling" }
  | { readonly type: "cancelled"; readonly charged: boolean }
  /** A job is under way, but nothing is heard of it until the connection is back. */
  | { readonly type: "offline" }
  | { readonly type: "batch"; readonly batch: Batch }
  | { readonly type: "done" }
  | { readonly type: "failed"; readonly failure: Failure };

export type IndicatorInput = {
  /** The job whose image is looked at. */
  readonly job: Job | null;
  /** The batch that is looked at as a whole. */
  readonly batch?: Batch | null;
  readonly submission: Submission;
  /** How the drawing compares with that job's sketch; unknown for images of earlier visits. */
  readonly drawing: "same" | "changed" | "unknown";
  readonly online: boolean;
};

export function indicatorFor({ job, batch, submission, drawing, online }: IndicatorInput): Indicator {
  if (submission.type === "sending") return { type: "sending" };
  const refusal = refusalForCard(submission);
  if (refusal !== null) return { type: "failed", failure: refusalFailure(refusal) };
  if (job === null) return { type: "nothing" };
  if (!online && !(batch ? batch.active === 0 : isTerminal(job))) return { type: "offline" };
  if (batch) return { type: "batch", batch };
  const active = job.cancel_requested ? ({ type: "cancelling" } as const) : null;
  switch (job.state) {
    case "queued":
      return active ?? { type: "waiting", place: job.position, seconds: job.eta_s };
    case "claimed":
    case "submitted":
    case "running":
      return active ?? runningIndicator(job);
    case "saving":
      return { type: "saving" };
    case "succeeded":
      return succeededIndicator(drawing);
    case "failed":
      return { type: "failed", failure: jobFailure(job) };
    case "cancelled":
      return { type: "cancelled", charged: job.charged };
    default:
      return unreachable(job.state);
  }
}

/** The indicator as a sentence, for the eye and for a screen reader. */
export function indicatorText(indicator: Indicator): string {
  switch (indicator.type) {
    case "nothing":
      return "";
    case "drawing":
      return "The drawing is newer than the image";
    case "sending":
      return "Sending the drawing";
    case "waiting":
      return waitingText(indicator.place, indicator.seconds);
    case "starting":
      return "Starting";
    case "rendering":
      return `Step ${indicator.step} of ${indicator.steps}`;
    case "saving":
      return "Saving the image";
    case "cancelling":
      return "Cancelling";
    case "cancelled":
      return indicator.charged ? "Cancelled; the image was charged" : "Cancelled; nothing was charged";
    case "offline":
      return "Waiting for the connection";
    case "batch":
      return batchText(indicator.batch);
    case "done":
      return "Up to date";
    case "failed":
      return indicator.failure.title;
    default:
      return unreachable(indicator);
  }
}

/** How far along, 0 to 1; null when there is nothing to measure. */
export function indicatorFraction(indicator: Indicator): number | null {
  if (indicator.type === "batch") return indicator.batch.ready / indicator.batch.jobs.length;
  if (indicator.type === "rendering") return indicator.step / Math.max(indicator.steps, 1);
  return indicator.type === "saving" ? 1 : null;
}

/** Whether the looked-at image must end, or be cancelled, before the next is asked for; a batch need not. */
export function isBusy(indicator: Indicator): boolean {
  switch (indicator.type) {
    case "sending":
    case "waiting":
    case "starting":
    case "rendering":
    case "saving":
    case "cancelling":
    case "offline":
      return true;
    case "nothing":
    case "drawing":
    case "cancelled":
    case "batch":
    case "done":
    case "failed":
      return false;
    default:
      return unreachable(indicator);
  }
}

function runningIndicator(job: Job): Indicator {
  return job.progress === null || job.progress.step === 0
    ? { type: "starting" }
    : { type: "rendering", step: job.progress.step, steps: job.progress.steps };
}

function succeededIndicator(drawing: IndicatorInput["drawing"]): Indicator {
  switch (drawing) {
    case "same":
      return { type: "done" };
    case "changed":
      return { type: "drawing" };
    case "unknown":
      return { type: "nothing" };
    default:
      return unreachable(drawing);
  }
}

function waitingText(place: number | null, seconds: number | null): string {
  const where =
    place === null ? "In the queue" : place === 1 ? "Next in the queue" : `Number ${place} in the queue`;
  return seconds === null ? where : `${where}, about ${durationText(seconds)}`;
}

function durationText(seconds: number): string {
  if (seconds < 90) return `${Math.max(Math.round(seconds), 1)} s`;
  return `${Math.round(seconds / 60)} min`;
}
