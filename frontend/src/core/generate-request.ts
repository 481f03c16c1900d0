/** The generate request: built and checked before anything is sent. */
import { isEmpty, type SketchDocument } from "./document";
import { type Config, SEED_LIMIT, type Settings } from "./settings";

export type GenerateBody = {
  /** Base64 of a PNG. */
  readonly sketch: string;
  readonly prompt: string;
  readonly mode: "paint";
  readonly denoise: number;
  readonly steps: number;
  readonly seed: number;
  readonly width: number;
  readonly height: number;
  readonly count: number;
  readonly lane: "live" | "batch";
};

/** Messages by the API's field names, as the API itself would give them. */
export type FieldErrors = Readonly<Record<string, readonly string[]>>;

export type GenerateCheck =
  | { readonly type: "ready" }
  | { readonly type: "empty" }
  | { readonly type: "invalid"; readonly fields: FieldErrors };

/** Say whether an image can be asked for, or what is in the way. */
export function checkGenerate(document: SketchDocument, settings: Settings, config: Config): GenerateCheck {
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
export function buildGenerate(sketch: string, settings: Settings): GenerateBody {
  return {
    sketch,
    prompt: settings.prompt.trim(),
    mode: "paint",
    denoise: Math.round(settings.strength * 100) / 100,
    steps: settings.steps,
    seed: settings.seed,
    width: settings.width,
    height: settings.height,
    count: 1,
    lane: "batch",
  };
}
