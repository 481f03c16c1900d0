import { describe, expect, test } from "vitest";
import { batchOf } from "./batch";
import { type IndicatorInput, indicatorFor, indicatorFraction, indicatorText, isBusy } from "./indicator";
import type { Job } from "./job";
import { exampleJob } from "./job-example";
import { NO_SUBMISSION, type Refusal } from "./submission";

function shown(job: Job | null, changes: Partial<IndicatorInput> = {}) {
  return indicatorFor({ job, submission: NO_SUBMISSION, drawing: "same", online: true, ...changes });
}

const REFUSAL: Refusal = {
  code: "quota_exhausted",
  message: "100 images a day.",
  fields: {},
  retry_after_s: 60,
};

describe("the indicator", () => {
  test.each([
    ["an empty studio", shown(null), "nothing", ""],
    ["a drawing without an image", shown(null, { drawing: "changed" }), "nothing", ""],
    ["a press", shown(null, { submission: { type: "sending" } }), "sending", "Sending the drawing"],
    [
      "a place",
      shown(exampleJob({ position: 3, eta_s: 12 })),
      "waiting",
      "Number 3 in the queue, about 12 s",
    ],
    [
      "the first place",
      shown(exampleJob({ position: 1, eta_s: 0.2 })),
      "waiting",
      "Next in the queue, about 1 s",
    ],
    ["no place yet", shown(exampleJob({ position: null, eta_s: null })), "waiting", "In the queue"],
    [
      "minutes",
      shown(exampleJob({ position: 9, eta_s: 180 })),
      "waiting",
      "Number 9 in the queue, about 3 min",
    ],
    ["a claimed job", shown(exampleJob({ state: "claimed" })), "starting", "Starting"],
    [
      "a step",
      shown(exampleJob({ state: "running", progress: { step: 2, steps: 4 } })),
      "rendering",
      "Step 2 of 4",
    ],
    ["a saving job", shown(exampleJob({ state: "saving" })), "saving", "Saving the image"],
    [
      "a wanted cancel",
      shown(exampleJob({ state: "running", cancel_requested: true })),
      "cancelling",
      "Cancelling",
    ],
    [
      "a cancelled job",
      shown(exampleJob({ state: "cancelled" })),
      "cancelled",
      "Cancelled; nothing was charged",
    ],
    ["an image", shown(exampleJob({ state: "succeeded" })), "done", "Up to date"],
    [
      "an old image",
      shown(exampleJob({ state: "succeeded" }), { drawing: "changed" }),
      "drawing",
      "The drawing is newer than the image",
    ],
    [
      "an image of an earlier visit",
      shown(exampleJob({ state: "succeeded" }), { drawing: "unknown" }),
      "nothing",
      "",
    ],
    ["a lost connection", shown(exampleJob(), { online: false }), "offline", "Waiting for the connection"],
    [
      "a finished job without connection",
      shown(exampleJob({ state: "succeeded" }), { online: false }),
      "done",
      "Up to date",
    ],
  ])("shows %s", (_, indicator, type, text) => {
    expect(indicator.type).toBe(type);
    expect(indicatorText(indicator)).toBe(text);
  });

  test("a failed job says what happened, that nothing was charged, and what to press", () => {
    const indicator = shown(
      exampleJob({
        state: "failed",
        error: { code: "out_of_memory", message: "The GPU had too little memory." },
      }),
    );
    expect(indicator).toMatchObject({
      type: "failed",
      failure: {
        title: "The GPU ran out of memory",
        detail: "The GPU had too little memory.",
        cost: "Nothing was charged.",
        action: "try-again",
      },
    });
  });

  test("what the server says about the cost is not said twice", () => {
    const error = { code: "node_failed", message: "It broke off. Nothing was charged; try again." };
    expect(shown(exampleJob({ state: "failed", error }))).toMatchObject({
      failure: { detail: error.message, cost: "" },
    });
  });

  test("a refusal for the whole request gets the card, one for a field does not", () => {
    expect(shown(null, { submission: { type: "refused", refusal: REFUSAL } })).toMatchObject({
      type: "failed",
      failure: { action: "wait" },
    });
    const field = { ...REFUSAL, code: "invalid", fields: { prompt: ["Too long."] } };
    expect(shown(null, { submission: { type: "refused", refusal: field } }).type).toBe("nothing");
  });

  test("a batch is shown as a whole, does not keep one from asking for more, and waits without connection", () => {
    const jobs = [exampleJob({ id: "a", state: "failed" }), exampleJob({ id: "b" })];
    const batch = batchOf(jobs, "b1");
    const indicator = shown(jobs[0] ?? null, { batch });
    expect(indicatorText(indicator)).toBe("0 of 2 ready, 1 failed");
    expect(indicatorFraction(indicator)).toBe(0);
    expect(isBusy(indicator)).toBe(false);
    expect(shown(jobs[0] ?? null, { batch, online: false }).type).toBe("offline");
  });

  test("measures steps and is busy exactly while a job is under way", () => {
    const rendering = shown(exampleJob({ state: "running", progress: { step: 1, steps: 4 } }));
    expect(indicatorFraction(rendering)).toBe(0.25);
    expect(isBusy(rendering)).toBe(true);
    expect(isBusy(shown(exampleJob({ state: "succeeded" })))).toBe(false);
    expect(isBusy(shown(exampleJob({ state: "failed" })))).toBe(false);
  });
});
