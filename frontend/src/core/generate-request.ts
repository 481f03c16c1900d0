/** The generate request: built and checked before anything is sent. */
import { isEmpty, type SketchDocument } from "./document";
import type { Mode, Model } from "./mode";
import { type Config, type Recipe, SEED_LIMIT } from "./settings";

/** What the API's mode would ignore it refuses, so that is left out. */
export type GenerateBody = {
  /** Base64 of a PNG, or `image:` and the id of one of the user's images. */
  readonly sketch: string;
  readonly prompt: string;
  readonly negative_prompt?: string;
  readonly mode: Mode;
  readonly model: Model;
  readonly denoise?: number;
  readonly steps?: number;
  /** Never without its variation. */
  readonly seed?: number;
  readonly variation?: number;
  readonly width?: number;
  readonly height?: number;
  readonly count?: number;
  readonly lane: "live" | "batch";
};

/** Messages by the API's field names, as the API itself would give them. */
export type FieldErrors = Readonly<Record<string, readonly string[]>>;

export type GenerateCheck =
  | { readonly type: "ready" }
  | { readonly type: "empty" }
  | { readonly type: "invalid"; readonly fields: FieldErrors };

/** Say whether an image can be asked for, or what is in the way. */
export function checkGenerate(document: SketchDocument, settings: Recipe, config: Config): GenerateCheck {
  const fields: Record<string, readonly string[]> = {};
  const { prompt_chars, steps } = config.limits;
  if (settings.prompt.length > prompt_chars) {
    fields.prompt = [
      `Shorten it by ${settings.prompt.length - prompt_chars} characters; ${prompt_chars} fit.`,
    ];
  }
  if (!(settings.strength >= 0 && settings.strength <= 1)) fields.denoise = ["Give a number from 0 to 1."];
  if (!Number.isInteger(settings.steps) || settings.steps < steps.min || settings.steps > steps.max) {
    fields.steps = [`Give a whole number from ${steps.min} to ${steps.max}.`];
  }
  if (!Number.isInteger(settings.seed) || settings.seed < 0 || settings.seed > SEED_LIMIT) {
    fields.seed = ["Give a whole number, 0 or more."];
  }
  if (!config.sizes.some((size) => size.width === settings.width && size.height === settings.height)) {
    fields.width = ["Choose one of the offered sizes."];
  }
  if (Object.keys(fields).length > 0) return { type: "invalid", fields };
  return isEmpty(document) ? { type: "empty" } : { type: "ready" };
}

/** Build the body of `POST /api/generate` from checked settings. */
export function buildGenerate(sketch: string, recipe: Recipe, count = 1): GenerateBody {
  const { mode, model, steps, seed, variation, width, height } = recipe;
  const unwanted = model === "base" ? recipe.negativePrompt.trim() : "";
  return {
    sketch,
    prompt: recipe.prompt.trim(),
    ...(unwanted === "" ? {} : { negative_prompt: unwanted }),
    mode,
    model,
    ...(mode === "paint" ? { denoise: Math.round(recipe.strength * 100) / 100 } : {}),
    steps,
    seed,
    variation,
    width,
    height,
    count,
    lane: "batch",
  };
}
