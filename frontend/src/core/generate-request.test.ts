import { describe, expect, test } from "vitest";
import { EXAMPLE_CONFIG } from "./config-example";
import { EMPTY_DOCUMENT, type SketchDocument } from "./document";
import { buildGenerate, checkGenerate } from "./generate-request";
import { EXAMPLE_PARAMS } from "./job-example";
import {
  adoptRecipe,
  changeSettings,
  defaultSettings,
  drawSeed,
  parseSeed,
  recipeOf,
  restoreSettings,
  SEED_LIMIT,
  type Settings,
  strengthWords,
} from "./settings";

const SETTINGS: Settings = { ...defaultSettings(EXAMPLE_CONFIG, 42), prompt: " a house " };
const DRAWN: SketchDocument = {
  ...EMPTY_DOCUMENT,
  strokes: [
    {
      id: "a",
      tool: "brush",
      colour: "#000000",
      width: 4,
      opacity: 1,
      points: [{ x: 1, y: 1, pressure: 0.5 } as never],
    },
  ],
};

describe("checking", () => {
  test("an empty drawing is explained instead of sent", () => {
    expect(checkGenerate(EMPTY_DOCUMENT, SETTINGS, EXAMPLE_CONFIG)).toEqual({ type: "empty" });
  });

  test("a drawing with good settings is ready", () => {
    expect(checkGenerate(DRAWN, SETTINGS, EXAMPLE_CONFIG)).toEqual({ type: "ready" });
  });

  test.each([
    ["prompt", { prompt: "x".repeat(2001) }],
    ["denoise", { strength: 1.2 }],
    ["denoise", { strength: Number.NaN }],
    ["steps", { steps: 51 }],
    ["steps", { steps: 2.5 }],
    ["seed", { seed: -1 }],
    ["seed", { seed: SEED_LIMIT + 1 }],
    ["width", { width: 500 }],
  ] as const)("%s out of range is named", (field, change) => {
    const check = checkGenerate(DRAWN, { ...SETTINGS, ...change }, EXAMPLE_CONFIG);
    expect(check.type === "invalid" && Object.keys(check.fields)).toEqual([field]);
  });
});

test("the body has the API's names and a trimmed prompt", () => {
  expect(buildGenerate("aGk=", { ...SETTINGS, strength: 0.7499999 })).toEqual({
    sketch: "aGk=",
    prompt: "a house",
    mode: "paint",
    model: "distilled",
    denoise: 0.75,
    steps: 4,
    seed: 42,
    variation: 0,
    width: 512,
    height: 512,
    count: 1,
    lane: "batch",
  });
});

test("following has no strength, for the API refuses one", () => {
  const body = buildGenerate("aGk=", { ...SETTINGS, mode: "follow" });
  expect(body.mode).toBe("follow");
  expect(body).not.toHaveProperty("denoise");
});

test("the seed never goes without its variation", () => {
  expect(buildGenerate("aGk=", { ...SETTINGS, seed: 5, variation: 3 })).toMatchObject({
    seed: 5,
    variation: 3,
  });
});

test("what should not show is sent to the base model alone", () => {
  const settings = { ...SETTINGS, negativePrompt: " fog " };
  expect(buildGenerate("aGk=", settings)).not.toHaveProperty("negative_prompt");
  expect(buildGenerate("aGk=", { ...settings, model: "base" })).toMatchObject({
    model: "base",
    negative_prompt: "fog",
  });
  expect(buildGenerate("aGk=", { ...settings, model: "base", negativePrompt: " " })).not.toHaveProperty(
    "negative_prompt",
  );
});

describe("an image's recipe", () => {
  const OLD = recipeOf(
    { ...EXAMPLE_PARAMS, prompt: "old", denoise: 0.4, variation: 2, width: 688, height: 384 },
    99,
  );

  test("is taken over with seed and variation, which stay", () => {
    expect(OLD && adoptRecipe(SETTINGS, OLD, EXAMPLE_CONFIG)).toMatchObject({
      prompt: "old",
      strength: 0.4,
      seed: 99,
      variation: 2,
      seedLocked: true,
      width: 688,
      height: 384,
    });
  });

  test("that this server has no size for leaves the size", () => {
    expect(OLD && adoptRecipe(SETTINGS, { ...OLD, width: 1024 }, EXAMPLE_CONFIG)).toMatchObject({
      width: 512,
      height: 512,
    });
  });

  test("of a followed sketch leaves the strength", () => {
    const recipe = recipeOf({ ...EXAMPLE_PARAMS, mode: "follow", denoise: 1 }, 1);
    expect(recipe && adoptRecipe({ ...SETTINGS, strength: 0.3 }, recipe, EXAMPLE_CONFIG)).toMatchObject({
      mode: "follow",
      strength: 0.3,
    });
  });

  test("is none for an enlarged image", () => {
    expect(recipeOf({ ...EXAMPLE_PARAMS, mode: "hd" }, 1)).toBeNull();
    expect(recipeOf({ ...EXAMPLE_PARAMS, mode: "upscale" }, 1)).toBeNull();
  });
});

describe("changing settings", () => {
  const THIRD: Settings = { ...SETTINGS, seed: 5, variation: 3 };

  test("another seed begins with its first image; other changes keep the variation", () => {
    expect(changeSettings(THIRD, { seed: 6 }, EXAMPLE_CONFIG)).toMatchObject({ seed: 6, variation: 0 });
    expect(changeSettings(THIRD, { prompt: "cat" }, EXAMPLE_CONFIG)).toMatchObject({ seed: 5, variation: 3 });
  });

  test("another model has its own number of steps", () => {
    expect(changeSettings(SETTINGS, { model: "base" }, EXAMPLE_CONFIG).steps).toBe(20);
    expect(
      changeSettings({ ...SETTINGS, model: "base", steps: 20 }, { model: "distilled" }, EXAMPLE_CONFIG).steps,
    ).toBe(4);
  });
});

describe("settings", () => {
  test.each([
    ["0", 0],
    [" 17 ", 17],
    ["9007199254740863", SEED_LIMIT],
    ["9007199254740864", null],
    ["-1", null],
    ["1.5", null],
    ["", null],
    ["1e3", null],
  ])("the seed %j reads as %j", (text, seed) => {
    expect(parseSeed(text)).toBe(seed);
  });

  test("drawn seeds are whole numbers in range", () => {
    expect(drawSeed(0)).toBe(0);
    expect(drawSeed(1 - Number.EPSILON)).toBe(2 ** 32 - 1);
  });

  test("remembered settings survive what this server does not offer", () => {
    const stored = { prompt: "cat", strength: 0.3, seed: 5, seedLocked: true, width: 999, height: 1 };
    expect(restoreSettings(stored, EXAMPLE_CONFIG, SETTINGS)).toEqual({
      ...SETTINGS,
      prompt: "cat",
      strength: 0.3,
      seed: 5,
      seedLocked: true,
    });
    expect(
      restoreSettings(
        { prompt: 5, strength: "x", seed: -4, width: 688, height: 384 },
        EXAMPLE_CONFIG,
        SETTINGS,
      ),
    ).toEqual({
      ...SETTINGS,
      width: 688,
      height: 384,
    });
    expect(restoreSettings(null, EXAMPLE_CONFIG, SETTINGS)).toBe(SETTINGS);
  });

  test("mode, model and variation are remembered, where the server still has them", () => {
    const stored = { mode: "follow", model: "base", negativePrompt: "fog", seed: 5, variation: 2 };
    expect(restoreSettings(stored, EXAMPLE_CONFIG, SETTINGS)).toMatchObject({ ...stored, steps: 20 });
    const older = { ...EXAMPLE_CONFIG, modes: ["paint"], models: [{ id: "distilled", steps: 4 }] };
    expect(restoreSettings(stored, older, SETTINGS)).toMatchObject({
      mode: "paint",
      model: "distilled",
      steps: 4,
    });
    expect(restoreSettings({ ...stored, variation: 4 }, EXAMPLE_CONFIG, SETTINGS).variation).toBe(0);
    expect(restoreSettings({ ...stored, mode: "hd" }, EXAMPLE_CONFIG, SETTINGS).mode).toBe("paint");
  });

  test("strength has words from one end to the other", () => {
    expect(new Set([0, 0.4, 0.75, 0.9, 1].map(strengthWords)).size).toBe(5);
  });
});
