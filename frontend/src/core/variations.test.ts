import { describe, expect, test } from "vitest";
import { EXAMPLE_CONFIG } from "./config-example";
import type { Job } from "./job";
import { EXAMPLE_PARAMS, EXAMPLE_USAGE, exampleJob } from "./job-example";
import { type Recipe, recipeOf } from "./settings";
import { buildVariations, countProblem, variationsProblem } from "./variations";

const DONE = exampleJob({ state: "succeeded", seed: 7, params: { ...EXAMPLE_PARAMS, variation: 2 } });

function recipe({ params, seed }: Job): Recipe {
  const found = recipeOf(params, seed);
  if (found === null) throw new Error("an enlarged image");
  return found;
}

describe("variations", () => {
  test("are asked for with the image's own drawing and settings, under a new seed from its first image", () => {
    expect(buildVariations(recipe(DONE), "aGk=", 99, 8)).toEqual({
      sketch: "aGk=",
      prompt: "a house",
      mode: "paint",
      model: "distilled",
      denoise: 0.75,
      steps: 4,
      seed: 99,
      variation: 0,
      width: 512,
      height: 512,
      count: 8,
      lane: "batch",
    });
  });

  test("of the base model keep what should not show", () => {
    const params = { ...EXAMPLE_PARAMS, model: "base", negative_prompt: "fog" } as const;
    expect(buildVariations(recipe(exampleJob({ params })), "aGk=", 1, 4)).toMatchObject({
      model: "base",
      negative_prompt: "fog",
    });
  });

  test("are there for a painted or followed drawing", () => {
    expect(variationsProblem(DONE)).toBeNull();
    expect(variationsProblem(exampleJob({ params: { ...EXAMPLE_PARAMS, mode: "follow" } }))).toBeNull();
  });

  test.each([
    ["an enlarged image", { mode: "hd" }],
    ["further pictures, which are not at hand", { references: 1 }],
    ["a part that was kept", { anchored: true }],
  ] as const)("are not there for %s, and the reason is told", (_, change) => {
    const job = exampleJob({ params: { ...EXAMPLE_PARAMS, ...change } });
    expect(variationsProblem(job)).toMatch(/\.$/);
  });

  test("cannot be more than the day has left, nor than the server makes at once", () => {
    const usage = { ...EXAMPLE_USAGE, remaining: 5 };
    expect(countProblem(4, usage, EXAMPLE_CONFIG)).toBeNull();
    expect(countProblem(8, usage, EXAMPLE_CONFIG)).toBe("5 images are left today.");
    expect(countProblem(4, { ...usage, remaining: 1 }, EXAMPLE_CONFIG)).toBe("1 image is left today.");
    expect(countProblem(16, null, EXAMPLE_CONFIG)).toBeNull();
    expect(countProblem(129, null, EXAMPLE_CONFIG)).toBe("At most 128 at once.");
  });
});
