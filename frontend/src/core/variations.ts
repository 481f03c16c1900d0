/** Variations: more images of the same drawing with the same settings. */
import { buildGenerate, type GenerateBody } from "./generate-request";
import type { Job, Usage } from "./job";
import { isEnlarging } from "./mode";
import type { Config, Recipe } from "./settings";

/** Chosen: one prompt's worth, a handful, and a sheet that still shows each. */
export const VARIATION_COUNTS = [4, 8, 16] as const;

/** Why an image cannot be varied, as a sentence; null when it can. */
export function variationsProblem({ params }: Job): string | null {
  if (isEnlarging(params.mode)) return "Make variations of the image that it was enlarged from.";
  if (params.references > 0) return "It followed further pictures, which are not at hand here.";
  if (params.anchored) return "A part of it was kept from a picture that is not at hand here.";
  return null;
}

/** Why so many cannot be asked for, as a sentence; null when they can. */
export function countProblem(count: number, usage: Usage | null, config: Config): string | null {
  const { max } = config.limits.count;
  if (count > max) return `At most ${max} at once.`;
  const left = usage?.remaining ?? null;
  if (left === null || count <= left) return null;
  return left === 1 ? "1 image is left today." : `${left} images are left today.`;
}

/** Build the request, by a recipe that the image has; the machines make the images of one seed together. */
export function buildVariations(recipe: Recipe, sketch: string, seed: number, count: number): GenerateBody {
  return buildGenerate(sketch, { ...recipe, seed, variation: 0 }, count);
}
