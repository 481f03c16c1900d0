/** The settings: what an image is made with, besides the drawing. */
import type { JobParams } from "./job";
import { type DrawingMode, isEnlarging, type Model, type Offered } from "./mode";

/** All that one image is made with, besides the drawing. */
export type Recipe = {
  readonly prompt: string;
  /** What the image should not show; the base model alone listens. */
  readonly negativePrompt: string;
  readonly mode: DrawingMode;
  readonly model: Model;
  /** 0 keeps the lines, 1 keeps nothing; the API's `denoise`. Following has none. */
  readonly strength: number;
  readonly steps: number;
  readonly seed: number;
  /** Which of the seed's images, from 0; it goes wherever the seed goes. */
  readonly variation: number;
  readonly width: number;
  readonly height: number;
};

export type Settings = Recipe & {
  /** A locked seed stays; an open one is drawn anew for every image. */
  readonly seedLocked: boolean;
};

export type Size = { readonly aspect: string; readonly width: number; readonly height: number };

export type Config = {
  readonly version: string;
  readonly signup_enabled: boolean;
  readonly modes: readonly string[];
  readonly models: readonly { readonly id: string; readonly steps: number }[];
  readonly workflows: Offered;
  readonly sizes: readonly Size[];
  readonly limits: {
    readonly prompt_chars: number;
    readonly sketch_bytes: number;
    readonly sketch_pixels: number;
    readonly count: { readonly min: number; readonly max: number };
    readonly steps: { readonly min: number; readonly max: number };
    readonly daily: number | null;
  };
  readonly defaults: {
    readonly mode: string;
    readonly denoise: number;
    readonly steps: number;
    readonly width: number;
    readonly height: number;
  };
  readonly presets: readonly { readonly id: string; readonly name: string }[];
  readonly gpu: "simulated" | "comfyui";
};

/** Shown and drawn seeds; the API takes larger ones too. Chosen: ten digits can be read out and typed. */
export const SEED_MAX = 2 ** 32 - 1;
/** The API's: images that share a seed. */
export const VARIATIONS_PER_SEED = 4;
/** The API's limit: 128 variations count up from a seed and must stay exact, below 2^53. */
export const SEED_LIMIT = Number.MAX_SAFE_INTEGER - 128;

export function defaultSettings(config: Config, seed: number): Settings {
  const { denoise, steps, width, height } = config.defaults;
  return {
    prompt: "",
    negativePrompt: "",
    mode: "paint",
    model: "distilled",
    strength: denoise,
    steps,
    seed,
    variation: 0,
    seedLocked: false,
    width,
    height,
  };
}

/** Change settings: another seed begins with its first image, another model has its own steps. */
export function changeSettings(settings: Settings, changes: Partial<Settings>, config: Config): Settings {
  return {
    ...settings,
    ...("seed" in changes ? { variation: 0 } : {}),
    ...(changes.model === undefined ? {} : { steps: stepsOf(changes.model, config) }),
    ...changes,
  };
}

/** What an image was made with; null for an enlarged one, which was made from another image. */
export function recipeOf(params: JobParams, seed: number): Recipe | null {
  if (isEnlarging(params.mode)) return null;
  const { prompt, mode, model, variation, steps, width, height } = params;
  const { negative_prompt: negativePrompt, denoise: strength } = params;
  return { prompt, negativePrompt, mode, model, strength, steps, seed, variation, width, height };
}

/** Take over what an image was made with, as far as this server offers it; its seed stays from now on. */
export function adoptRecipe(settings: Settings, recipe: Recipe, config: Config): Settings {
  const { width, height } = config.sizes.find((size) => isSize(size, recipe)) ?? settings;
  // Following says nothing about the strength: the person's own stays for the next painting.
  const strength = recipe.mode === "paint" ? recipe.strength : settings.strength;
  return { ...recipe, strength, width, height, seedLocked: true };
}

/** Draw a seed; `random` is from 0 up to, not including, 1. */
export function drawSeed(random: number): number {
  return Math.floor(random * (SEED_MAX + 1));
}

/** Read a typed seed; null unless it is a whole number in the API's range. */
export function parseSeed(text: string): number | null {
  const trimmed = text.trim();
  if (!/^\d{1,16}$/.test(trimmed)) return null;
  const seed = Number(trimmed);
  return seed <= SEED_LIMIT ? seed : null;
}

/** Read remembered settings over the defaults, leaving out whatever this server does not offer. */
export function restoreSettings(stored: unknown, config: Config, fallback: Settings): Settings {
  if (typeof stored !== "object" || stored === null) return fallback;
  const { prompt, negativePrompt, strength, seed, variation, seedLocked, width, height } = stored as Record<
    string,
    unknown
  >;
  const { mode: storedMode, model: storedModel } = stored as Record<string, unknown>;
  const size = config.sizes.find((each) => isSize(each, { width, height }));
  const mode = storedMode === "follow" && config.modes.includes(storedMode) ? storedMode : fallback.mode;
  const isBase = storedModel === "base" && config.models.some(({ id }) => id === storedModel);
  const model = isBase ? storedModel : fallback.model;
  const chars = config.limits.prompt_chars;
  return {
    ...fallback,
    prompt: typeof prompt === "string" ? prompt.slice(0, chars) : fallback.prompt,
    negativePrompt:
      typeof negativePrompt === "string" ? negativePrompt.slice(0, chars) : fallback.negativePrompt,
    mode,
    model,
    steps: stepsOf(model, config),
    strength: typeof strength === "number" && strength >= 0 && strength <= 1 ? strength : fallback.strength,
    seed: typeof seed === "number" && parseSeed(String(seed)) !== null ? seed : fallback.seed,
    variation: typeof variation === "number" && isVariation(variation) ? variation : fallback.variation,
    seedLocked: seedLocked === true,
    width: size?.width ?? fallback.width,
    height: size?.height ?? fallback.height,
  };
}

/** The steps of a model's whole schedule. */
export function stepsOf(model: Model, config: Config): number {
  return config.models.find(({ id }) => id === model)?.steps ?? config.defaults.steps;
}

/** What a strength does, in words. */
export function strengthWords(strength: number): string {
  if (strength < 0.35) return "Keeps your lines";
  if (strength < 0.6) return "Stays close to your drawing";
  if (strength < 0.8) return "Paints over your drawing";
  if (strength < 0.95) return "Takes your drawing as a hint";
  return "Surprises you";
}

function isSize(
  size: Size,
  { width, height }: { readonly width: unknown; readonly height: unknown },
): boolean {
  return size.width === width && size.height === height;
}

function isVariation(variation: number): boolean {
  return Number.isInteger(variation) && variation >= 0 && variation < VARIATIONS_PER_SEED;
}
