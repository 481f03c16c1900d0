/** A job: one image being made from a sketch, as the server tells it. */

import type { Mode, Model } from "./mode";

export type JobState =
  | "queued"
  | "claimed"
  | "submitted"
  | "running"
  | "saving"
  | "succeeded"
  | "failed"
  | "cancelled";

export type JobImage = {
  readonly id: string;
  readonly url: string;
  readonly thumbnail_url: string;
  readonly width: number;
  readonly height: number;
  /** How it was enlarged, "lanczos" or "model" and a file; empty for one that was not. */
  readonly method: string;
};

export type JobParams = {
  readonly prompt: string;
  readonly negative_prompt: string;
  readonly mode: Mode;
  readonly model: Model;
  /** Which of the seed's images: seed and variation together make it again. */
  readonly variation: number;
  /** How many pictures were followed beside the sketch. */
  readonly references: number;
  /** Whether a part was kept as it was. */
  readonly anchored: boolean;
  readonly denoise: number;
  readonly steps: number;
  readonly width: number;
  readonly height: number;
};

export type Job = {
  readonly id: string;
  readonly batch_id: string;
  readonly state: JobState;
  readonly lane: "live" | "batch";
  /** 1 is the next one to start. */
  readonly position: number | null;
  readonly eta_s: number | null;
  readonly progress: { readonly step: number; readonly steps: number } | null;
  readonly preview_url: string | null;
  readonly seed: number;
  readonly params: JobParams;
  readonly sketch_url: string;
  readonly images: readonly JobImage[];
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly charged: boolean;
  readonly cancel_requested: boolean;
  /** ISO 8601, in UTC: sorts as text. */
  readonly created_at: string;
  readonly started_at: string | null;
  readonly finished_at: string | null;
};

export type Usage = {
  readonly used_today: number;
  readonly total: number;
  readonly limit: number | null;
  readonly remaining: number | null;
  readonly resets_at: string;
};

export function isTerminal(job: Job): boolean {
  return job.state === "succeeded" || job.state === "failed" || job.state === "cancelled";
}

/** Whether a GPU machine may be reporting steps for the job. */
export function isOnNode(job: Job): boolean {
  return job.state === "claimed" || job.state === "submitted" || job.state === "running";
}
