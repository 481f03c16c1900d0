/** Enlarging: a finished image made twice as large. */
import type { GenerateBody } from "./generate-request";
import type { Job, JobImage } from "./job";
import { type EnlargingMode, isOffered, type Mode, type Model, NOT_NOW, type Offered } from "./mode";

export const ENLARGEMENTS: readonly {
  readonly mode: EnlargingMode;
  readonly title: string;
  readonly words: string;
}[] = [
  { mode: "hd", title: "HD", words: "Twice the size, with finer detail" },
  { mode: "upscale", title: "Upscale 2×", words: "Twice the size, nothing painted anew" },
];

/** The API's limit: what is larger on a side is not enlarged any further. */
const SIDE_MAX = 1536;

/** Why an image cannot be enlarged now, as a sentence; null when it can. */
export function enlargingProblem(
  job: Job,
  image: JobImage,
  mode: EnlargingMode,
  offered: Offered,
): string | null {
  if (Math.max(image.width, image.height) > SIDE_MAX) return "This image is as large as it gets.";
  return isOffered(offered, mode, modelFor(job, mode)) ? null : `${NOT_NOW}.`;
}

/** Build the request; the server sets size, strength and steps. */
export function buildEnlarged(job: Job, image: JobImage, mode: EnlargingMode): GenerateBody {
  const { prompt, negative_prompt, variation } = job.params;
  const model = modelFor(job, mode);
  return {
    sketch: `image:${image.id}`,
    prompt,
    ...(model === "base" && negative_prompt !== "" ? { negative_prompt } : {}),
    mode,
    model,
    // An upscale leaves nothing to chance.
    ...(mode === "hd" ? { seed: job.seed, variation } : {}),
    lane: "batch",
  };
}

/** Say how an image was enlarged; null for one that was not. */
export function enlargedText(mode: Mode, { width, height, method }: JobImage): string | null {
  if (method === "") return null;
  const file = /^model (.+?)(?:\.\w+)?$/.exec(method)?.[1];
  const way = file === undefined ? nameOf(method) : `the model ${file}`;
  const finer = mode === "hd" ? ", then painted finer" : "";
  return `${width} × ${height}, enlarged with ${way}${finer}`;
}

function nameOf(method: string): string {
  return method.charAt(0).toUpperCase() + method.slice(1);
}

/** Nothing is painted in an upscale, so no model of ours takes part. */
function modelFor(job: Job, mode: EnlargingMode): Model {
  return mode === "upscale" ? "distilled" : job.params.model;
}
