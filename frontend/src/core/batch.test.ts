import { describe, expect, test } from "vitest";
import { batchOf, batchText, gridColumns, hideWaiting, tilesOf } from "./batch";
import type { Job, JobState } from "./job";
import { exampleJob } from "./job-example";

function batch(...states: JobState[]): readonly Job[] {
  return states.map((state, index) =>
    exampleJob({ id: `j${index}`, state, created_at: `2030-01-01T00:00:00.00000${index}Z` }),
  );
}

describe("a batch", () => {
  test("has the jobs that were asked for together, in their order", () => {
    const jobs = [...batch("queued", "queued").toReversed(), exampleJob({ id: "other", batch_id: "b2" })];
    expect(batchOf(jobs, "b1")?.jobs.map(({ id }) => id)).toEqual(["j0", "j1"]);
  });

  test("of one image is none", () => {
    expect(batchOf(batch("queued"), "b1")).toBeNull();
  });

  test.each([
    [["queued", "queued", "running"], "0 of 3 ready"],
    [["succeeded", "saving", "queued"], "1 of 3 ready"],
    [["succeeded", "succeeded"], "All 2 ready"],
    [["succeeded", "cancelled", "cancelled"], "1 of 3 ready, the rest stopped"],
    [["succeeded", "failed", "succeeded"], "2 of 3 ready, 1 failed"],
    [["succeeded", "failed", "cancelled"], "1 of 3 ready, 1 failed, the rest stopped"],
    [["failed", "queued"], "0 of 2 ready, 1 failed"],
    [["cancelled", "cancelled"], "Stopped before the first was ready"],
  ] as const)("of %j says: %s", (states, text) => {
    const found = batchOf(batch(...states), "b1");
    expect(found && batchText(found)).toBe(text);
  });
});

test.each([
  ["while more is to come", ["succeeded", "cancelled", "running"], 3],
  ["once the rest was stopped", ["succeeded", "cancelled", "failed"], 2],
  ["where all were stopped", ["cancelled", "cancelled"], 2],
] as const)("%s, of %j there are %i to show", (_, states, count) => {
  const found = batchOf(batch(...states), "b1");
  expect(found && tilesOf(found)).toHaveLength(count);
});

test("a batch under way waits in the history as one, and its images join as they are ready", () => {
  const jobs = [exampleJob({ id: "single", batch_id: "b2" }), ...batch("succeeded", "queued", "running")];
  const newestFirst = jobs.toReversed();
  expect(hideWaiting(newestFirst).map(({ id }) => id)).toEqual(["j2", "j0", "single"]);
});

test.each([
  [4, 1, 2],
  [8, 1, 3],
  [16, 1, 4],
  [2, 688 / 384, 1],
  [3, 384 / 688, 3],
  [128, 1, 11],
])("%i pictures of the shape %f stand in %i columns, as large as they go", (count, shape, columns) => {
  expect(gridColumns(count, shape)).toBe(columns);
});
