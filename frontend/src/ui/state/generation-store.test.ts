import { computed, signal } from "@preact/signals";
import { describe, expect, test } from "vitest";
import { EXAMPLE_CONFIG } from "../../core/config-example";
import { EMPTY_DOCUMENT, type SketchDocument } from "../../core/document";
import type { GenerateBody } from "../../core/generate-request";
import type { Job } from "../../core/job";
import { EXAMPLE_IMAGE, EXAMPLE_PARAMS, EXAMPLE_USAGE, exampleJob } from "../../core/job-example";
import type { Api } from "../../net/api";
import { ApiError, NetworkError } from "../../net/api-error";
import { createGenerationStore } from "./generation-store";

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

function studio({ document = DRAWN, answers = [] as (() => readonly Job[])[] } = {}) {
  const sent: { key: string; body: GenerateBody }[] = [];
  const calls: string[] = [];
  const api: Api = {
    async generate(body, key) {
      sent.push({ key, body });
      return (answers[sent.length - 1] ?? (() => [exampleJob()]))();
    },
    async jobs(cursor) {
      calls.push(`jobs ${cursor}`);
      const job = exampleJob({ id: `old-${cursor}`, state: "succeeded", created_at: "2029-01-01T00:00:00Z" });
      return { jobs: [job], next: cursor === null ? "2" : null };
    },
    async cancel(id) {
      calls.push(`cancel ${id}`);
      return exampleJob({ id, cancel_requested: true });
    },
    async retry(id) {
      calls.push(`retry ${id}`);
      return exampleJob({ id: `${id}-again`, created_at: "2030-01-01T01:00:00Z" });
    },
    async cancelBatch(id) {
      calls.push(`cancel batch ${id}`);
      return [exampleJob({ id: "v2", batch_id: id, state: "cancelled" })];
    },
    async picture(url) {
      calls.push(`picture ${url}`);
      return new Blob(["sketch"]);
    },
    async config() {
      calls.push("config");
      return { ...EXAMPLE_CONFIG, workflows: ["paint"] };
    },
  };
  const drawn = signal(document);
  let keys = 0;
  let dice = 0;
  const store = createGenerationStore({
    api,
    config: EXAMPLE_CONFIG,
    document: drawn,
    hash: computed(() => String(drawn.value.strokes.length)),
    encode: async () => "cG5n",
    toBase64: async (blob) => btoa(await blob.text()),
    remembered: null,
    rememberedSent: null,
    random: () => ++dice / 1000,
    newKey: () => `key-${++keys}`,
  });
  store.connection.value = "online";
  return { store, sent, calls, drawn };
}

function refuse(error: ApiError): () => never {
  return () => {
    throw error;
  };
}

describe("generate", () => {
  test("sends the drawing and follows its job", async () => {
    const { store, sent } = studio();
    store.change({ prompt: "a boat" });
    await store.generate();
    expect(sent[0]?.body).toMatchObject({ sketch: "cG5n", prompt: "a boat", count: 1, lane: "batch" });
    expect(store.indicator.value).toEqual({ type: "waiting", place: 1, seconds: 3 });
    expect(store.busy.value).toBe(true);
  });

  test("an empty drawing is explained and not sent", async () => {
    const { store, sent } = studio({ document: EMPTY_DOCUMENT });
    await store.generate();
    expect(sent).toEqual([]);
    expect(store.explainEmpty.value).toBe(true);
  });

  test("an open seed is drawn anew, a locked one stays", async () => {
    const { store, sent } = studio({
      answers: [
        () => [exampleJob({ state: "succeeded" })],
        () => [exampleJob({ id: "j2", state: "succeeded" })],
      ],
    });
    const before = store.settings.value.seed;
    await store.generate();
    const drawn = store.settings.value.seed;
    store.change({ seedLocked: true });
    await store.generate();
    expect(drawn).not.toBe(before);
    expect(sent.map(({ body }) => body.seed)).toEqual([drawn, drawn]);
  });

  test("a second press while one is under way sends nothing", async () => {
    const { store, sent } = studio();
    await Promise.all([store.generate(), store.generate()]);
    await store.generate();
    expect(sent).toHaveLength(1);
  });

  test("the indicator tells when the drawing has moved on", async () => {
    const { store, drawn } = studio({ answers: [() => [exampleJob({ state: "succeeded" })]] });
    await store.generate();
    expect(store.indicator.value.type).toBe("done");
    drawn.value = { ...DRAWN, strokes: [...DRAWN.strokes, ...DRAWN.strokes] };
    expect(store.indicator.value.type).toBe("drawing");
  });
});

describe("refusals", () => {
  test("errors of a field appear at it, and go when it is changed", async () => {
    const error = new ApiError("invalid", 400, "seed: Too large.", { seed: ["Too large."] });
    const { store } = studio({ answers: [refuse(error)] });
    await store.generate();
    expect(store.fieldErrors.value).toEqual({ seed: ["Too large."] });
    expect(store.busy.value).toBe(false);
    store.change({ seed: 5 });
    expect(store.fieldErrors.value).toEqual({});
  });

  test("without an answer, trying again sends the same request under the same key", async () => {
    const { store, sent } = studio({ answers: [refuse(new NetworkError())] });
    await store.generate();
    expect(store.indicator.value).toMatchObject({ type: "failed", failure: { action: "try-again" } });
    await store.tryAgain();
    expect(sent[1]).toEqual(sent[0]);
    expect(store.job.value?.id).toBe("j1");
  });

  test("a job whose sketch was lost is sent anew", async () => {
    const error = { code: "sketch_missing", message: "Gone." };
    const { store, sent, calls } = studio({ answers: [() => [exampleJob({ state: "failed", error })]] });
    await store.generate();
    await store.tryAgain();
    expect(calls).toEqual([]);
    expect(sent).toHaveLength(2);
  });

  test("a used-up day is no reason to try again", async () => {
    const { store } = studio({
      answers: [refuse(new ApiError("quota_exhausted", 429, "100 images a day."))],
    });
    await store.generate();
    expect(store.indicator.value).toMatchObject({ type: "failed", failure: { action: "wait" } });
  });

  test("trying a failed job again makes a new job of the same sketch", async () => {
    const { store, calls } = studio({ answers: [() => [exampleJob({ state: "failed" })]] });
    await store.generate();
    await store.tryAgain();
    expect(calls).toEqual(["retry j1"]);
    expect(store.job.value?.id).toBe("j1-again");
  });
});

function fourOf(batchId: string): readonly Job[] {
  return [1, 2, 3, 4].map((n) =>
    exampleJob({
      id: `v${n}`,
      batch_id: batchId,
      created_at: `2030-01-02T00:00:00.00000${n}Z`,
      params: { ...EXAMPLE_PARAMS, variation: n - 1 },
    }),
  );
}

describe("variations", () => {
  const DONE = exampleJob({ id: "old", batch_id: "b0", state: "succeeded" });

  test("send the image's own sketch, and are looked at together while one can ask for more", async () => {
    const { store, sent, calls } = studio({ answers: [() => fourOf("b9")] });
    await store.vary(DONE, 4);
    expect(calls).toEqual(["picture /api/jobs/j1/sketch"]);
    expect(sent[0]?.body).toMatchObject({ sketch: btoa("sketch"), count: 4, variation: 0 });
    expect(sent[0]?.body.seed).not.toBe(DONE.seed);
    expect(store.batchShown.value?.jobs.map((job) => job.id)).toEqual(["v1", "v2", "v3", "v4"]);
    expect(store.busy.value).toBe(false);
  });

  test("join the history as they are ready, and wait there as one", async () => {
    const { store } = studio({ answers: [() => fourOf("b9")] });
    await store.vary(DONE, 4);
    const [, second] = fourOf("b9");
    if (second !== undefined)
      store.receive({
        type: "event",
        seq: 1,
        event: { type: "job.succeeded", job: { ...second, state: "succeeded" } },
      });
    expect(store.history.value.map((job) => job.id)).toEqual(["v4", "v2"]);
    expect(store.batchShown.value?.ready).toBe(1);
  });

  test("one that is ready can be looked at alone, and the batch again", async () => {
    const { store } = studio({
      answers: [() => fourOf("b9").map((job, n) => (n === 1 ? { ...job, state: "succeeded" } : job))],
    });
    await store.vary(DONE, 4);
    store.look("v2");
    expect(store.batchShown.value).toBeNull();
    expect(store.batch.value?.ready).toBe(1);
    expect(store.job.value?.id).toBe("v2");
    store.showBatch();
    expect(store.batchShown.value?.ready).toBe(1);
    // What is under way is only ever seen among the others.
    store.look("v3");
    expect(store.batchShown.value?.ready).toBe(1);
  });

  test("the rest is stopped by one press, or by Escape", async () => {
    const { store, calls } = studio({ answers: [() => fourOf("b9")] });
    await store.vary(DONE, 4);
    await store.cancel();
    expect(calls.at(-1)).toBe("cancel batch b9");
    expect(store.batch.value?.stopped).toBe(1);
    await store.stopBatch();
    expect(calls.filter((call) => call === "cancel batch b9")).toHaveLength(2);
  });

  test("that were refused are asked for again as they were", async () => {
    const { store, sent, calls } = studio({
      answers: [refuse(new ApiError("too_many_waiting", 429, "Your queue is full.")), () => fourOf("b9")],
    });
    await store.vary(DONE, 4);
    expect(store.indicator.value.type).toBe("failed");
    await store.tryAgain();
    expect(calls.filter((call) => call.startsWith("picture"))).toHaveLength(2);
    expect(sent[1]?.body.count).toBe(4);
    expect(sent[1]?.key).not.toBe(sent[0]?.key);
  });

  test("of an enlarged image are not sent", async () => {
    const { store, sent } = studio();
    await store.vary(exampleJob({ params: { ...EXAMPLE_PARAMS, mode: "hd" } }), 4);
    expect(sent).toEqual([]);
  });
});

describe("enlarging", () => {
  const DONE = exampleJob({ id: "old", state: "succeeded", images: [EXAMPLE_IMAGE] });

  test("asks for the image by its id and looks at what becomes of it", async () => {
    const { store, sent } = studio({ answers: [() => [exampleJob({ id: "large" })]] });
    await store.enlarge(DONE, "upscale");
    expect(sent[0]?.body).toMatchObject({ sketch: "image:i1", mode: "upscale" });
    expect(store.job.value?.id).toBe("large");
  });

  test("is asked for once, also while another image is under way", async () => {
    const { store, sent } = studio();
    await store.generate();
    await Promise.all([store.enlarge(DONE, "hd"), store.enlarge(DONE, "hd")]);
    expect(sent.map(({ body }) => body.mode)).toEqual(["paint", "hd"]);
  });

  test("says nothing of the drawing, which it was not made from", async () => {
    const { store, drawn } = studio({ answers: [() => [exampleJob({ id: "large", state: "succeeded" })]] });
    await store.enlarge(DONE, "hd");
    drawn.value = { ...DRAWN, strokes: [...DRAWN.strokes, ...DRAWN.strokes] };
    expect(store.indicator.value.type).toBe("nothing");
  });

  test("without an answer, trying again sends the same request under the same key", async () => {
    const { store, sent } = studio({ answers: [refuse(new NetworkError())] });
    await store.enlarge(DONE, "hd");
    await store.tryAgain();
    expect(sent[1]).toEqual(sent[0]);
  });

  test("knows what the machines can do as of the last answer", async () => {
    const { store } = studio();
    expect(store.offered.value).toContain("upscale");
    await store.refreshOffered();
    expect(store.offered.value).toEqual(["paint"]);
  });
});

describe("cancelling", () => {
  test("asks for the job that is looked at, once", async () => {
    const { store, calls } = studio();
    await store.generate();
    await store.cancel();
    await store.cancel();
    expect(calls).toEqual(["cancel j1"]);
    expect(store.indicator.value.type).toBe("cancelling");
  });

  test("before the job has an id waits for it", async () => {
    const { store, calls } = studio();
    const generating = store.generate();
    await store.cancel();
    await generating;
    expect(calls).toEqual(["cancel j1"]);
  });
});

describe("history", () => {
  test("older jobs come page by page until there are none", async () => {
    const { store, calls } = studio();
    for (let page = 0; page < 4; page += 1) await store.loadOlder();
    expect(calls).toEqual(["jobs null", "jobs 2"]);
    expect(store.history.value.map((job) => job.id)).toEqual(["old-null", "old-2"]);
  });

  test("looking at an old job shows it until something new is made", async () => {
    const { store } = studio();
    store.receive({
      type: "snapshot",
      seq: 1,
      jobs: [
        exampleJob({ id: "a", state: "succeeded" }),
        exampleJob({ id: "b", state: "succeeded", created_at: "2029-01-01T00:00:00Z" }),
      ],
      usage: EXAMPLE_USAGE,
    });
    expect(store.job.value?.id).toBe("a");
    store.look("b");
    expect(store.job.value?.id).toBe("b");
    await store.generate();
    expect(store.job.value?.id).toBe("j1");
  });

  test("a cancelled job leaves it with the next one", async () => {
    const { store } = studio({
      answers: [() => [exampleJob({ state: "cancelled" })], () => [exampleJob({ id: "j2" })]],
    });
    await store.generate();
    expect(store.history.value.map((job) => job.id)).toEqual(["j1"]);
    await store.generate();
    expect(store.history.value.map((job) => job.id)).toEqual(["j2"]);
  });

  test("its settings are taken over with the seed locked", () => {
    const { store } = studio();
    store.useSettings(
      exampleJob({
        seed: 99,
        params: { ...EXAMPLE_PARAMS, prompt: "old", denoise: 0.4, variation: 2, width: 688, height: 384 },
      }),
    );
    expect(store.settings.value).toMatchObject({
      prompt: "old",
      strength: 0.4,
      seed: 99,
      variation: 2,
      seedLocked: true,
      width: 688,
      height: 384,
    });
  });

  test("made again, an image is asked for by seed and variation; an open seed begins anew", async () => {
    const done = [exampleJob({ state: "succeeded" })];
    const { store, sent } = studio({ answers: [() => done, () => done] });
    store.useSettings(exampleJob({ seed: 99, params: { ...EXAMPLE_PARAMS, variation: 2 } }));
    await store.generate();
    expect(sent[0]?.body).toMatchObject({ seed: 99, variation: 2 });
    store.change({ seedLocked: false });
    await store.generate();
    expect(sent[1]?.body.variation).toBe(0);
    expect(sent[1]?.body.seed).not.toBe(99);
  });
});
