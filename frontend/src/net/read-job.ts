/** Readers for jobs, usage and the server's configuration. */
import type { Job, JobImage, JobParams, Usage } from "../core/job";
import type { Config } from "../core/settings";
import { listOf, nullable, objectOf, oneOf, readBoolean, readNumber, readString } from "./read-json";

const readImage = objectOf<JobImage>({
  id: readString,
  url: readString,
  thumbnail_url: readString,
  width: readNumber,
  height: readNumber,
  method: readString,
});

const readParams = objectOf<JobParams>({
  prompt: readString,
  negative_prompt: readString,
  mode: oneOf("paint", "follow", "hd", "upscale"),
  model: oneOf("distilled", "base"),
  variation: readNumber,
  references: readNumber,
  anchored: readBoolean,
  denoise: readNumber,
  steps: readNumber,
  width: readNumber,
  height: readNumber,
});

export const readJob = objectOf<Job>({
  id: readString,
  batch_id: readString,
  state: oneOf("queued", "claimed", "submitted", "running", "saving", "succeeded", "failed", "cancelled"),
  lane: oneOf("live", "batch"),
  position: nullable(readNumber),
  eta_s: nullable(readNumber),
  progress: nullable(objectOf<NonNullable<Job["progress"]>>({ step: readNumber, steps: readNumber })),
  preview_url: nullable(readString),
  seed: readNumber,
  params: readParams,
  sketch_url: readString,
  images: listOf(readImage),
  error: nullable(objectOf<NonNullable<Job["error"]>>({ code: readString, message: readString })),
  charged: readBoolean,
  cancel_requested: readBoolean,
  created_at: readString,
  started_at: nullable(readString),
  finished_at: nullable(readString),
});

export const readUsage = objectOf<Usage>({
  used_today: readNumber,
  total: readNumber,
  limit: nullable(readNumber),
  remaining: nullable(readNumber),
  resets_at: readString,
});

export const readJobs = objectOf<{ jobs: readonly Job[] }>({ jobs: listOf(readJob) });

export type JobPage = { readonly jobs: readonly Job[]; readonly next: string | null };
export const readJobPage = objectOf<JobPage>({ jobs: listOf(readJob), next: nullable(readString) });

const readRange = objectOf<{ min: number; max: number }>({ min: readNumber, max: readNumber });

export const readConfig = objectOf<Config>({
  version: readString,
  signup_enabled: readBoolean,
  modes: listOf(readString),
  models: listOf(objectOf<Config["models"][number]>({ id: readString, steps: readNumber })),
  workflows: nullable(listOf(readString)),
  sizes: listOf(
    objectOf<Config["sizes"][number]>({ aspect: readString, width: readNumber, height: readNumber }),
  ),
  limits: objectOf<Config["limits"]>({
    prompt_chars: readNumber,
    sketch_bytes: readNumber,
    sketch_pixels: readNumber,
    count: readRange,
    steps: readRange,
    daily: nullable(readNumber),
  }),
  defaults: objectOf<Config["defaults"]>({
    mode: readString,
    denoise: readNumber,
    steps: readNumber,
    width: readNumber,
    height: readNumber,
  }),
  presets: listOf(objectOf<Config["presets"][number]>({ id: readString, name: readString })),
  gpu: oneOf("simulated", "comfyui"),
});

/** What the page brings along, so that the studio starts without asking. */
export type Boot = { readonly email: string; readonly is_staff: boolean; readonly config: Config };
export const readBoot = objectOf<Boot>({ email: readString, is_staff: readBoolean, config: readConfig });
