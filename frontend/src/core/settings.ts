/** The settings: what an image is made with, besides the drawing. */

export type Settings = {
  readonly prompt: string;
  /** 0 keeps the lines, 1 keeps nothing; the API's `denoise`. */
  readonly strength: number;
  readonly steps: number;
  readonly seed: number;
  /** A locked seed stays; an open one is drawn anew for every image. */
  readonly seedLocked: boolean;
  readonly width: number;
  readonly height: number;
};

export type Size = { readonly aspect: string; readonly width: number; readonly height: number };

export type Config = {
  readonly version: string;
  readonly signup_enabled: boolean;
  readonly modes: readonly string[];
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
/** The API's limit: 128 variations count up from a seed and must stay exact, below 2^53. */
export const SEED_LIMIT = Number.MAX_SAFE_INTEGER - 128;

export function defaultSettings(config: Config, seed: number): Settings {
  const { denoise, steps, width, height } = config.defaults;
  return { prompt: "", strength: denoise, steps, seed, seedLocked: false, width, height };
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
  const { prompt, strength, seed, seedLocked, width, height } = stored as Record<string, unknown>;
  const size = config.sizes.find((each) => each.width === width && each.height === height);
  return {
    ...fallback,
    prompt: typeof prompt === "string" ? prompt.slice(0, config.limits.prompt_chars) : fallback.prompt,
    strength: typeof strength === "number" && strength >= 0 && strength <= 1 ? strength : fallback.strength,
    seed: typeof seed === "number" && parseSeed(String(seed)) !== null ? seed : fallback.seed,
    seedLocked: seedLocked === true,
    width: size?.width ?? fallback.width,
    height: size?.height ?? fallback.height,
  };
}

/** What a strength does, in words. */
export function strengthWords(strength: number): string {
  if (strength < 0.35) return "Keeps your lines";
  if (strength < 0.6) return "Stays close to your drawing";
  if (strength < 0.8) return "Paints over your drawing";
  if (strength < 0.95) return "Takes your drawing as a hint";
  return "Surprises you";
}
