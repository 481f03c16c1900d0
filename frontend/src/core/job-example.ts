/** An example job, for tests. */
import type { Job, JobImage, JobParams, Usage } from "./job";

export const EXAMPLE_USAGE: Usage = {
  used_today: 3,
  total: 40,
  limit: 100,
  remaining: 97,
  resets_at: "2030-01-02T00:00:00Z",
};

export const EXAMPLE_PARAMS: JobParams = {
  prompt: "a house",
  negative_prompt: "",
  mode: "paint",
  model: "distilled",
  variation: 0,
  references: 0,
  anchored: false,
  denoise: 0.75,
  steps: 4,
  width: 512,
  height: 512,
};

export const EXAMPLE_IMAGE: JobImage = {
  id: "i1",
  url: "/api/images/i1",
  thumbnail_url: "/api/images/i1/thumbnail",
  width: 512,
  height: 512,
  method: "",
};

export function exampleJob(changes: Partial<Job> = {}): Job {
  return {
    id: "j1",
    batch_id: "b1",
    state: "queued",
    lane: "batch",
    position: 1,
    eta_s: 3,
    progress: null,
    preview_url: null,
    seed: 7,
    params: EXAMPLE_PARAMS,
    sketch_url: "/api/jobs/j1/sketch",
    images: [],
    error: null,
    charged: false,
    cancel_requested: false,
    created_at: "2030-01-01T00:00:00Z",
    started_at: null,
    finished_at: null,
    ...changes,
  };
}
