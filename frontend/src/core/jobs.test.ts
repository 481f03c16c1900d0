import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Job } from "./job";
import { EXAMPLE_USAGE, exampleJob } from "./job-example";
import {
  hasGap,
  type JobEventType,
  type JobsState,
  jobsNewestFirst,
  NO_JOBS,
  reduceJobs,
  type ServerMessage,
} from "./jobs";

const LIFE: readonly (readonly [JobEventType, Job["state"]])[] = [
  ["job.queued", "queued"],
  ["job.claimed", "claimed"],
  ["job.submitted", "submitted"],
  ["job.running", "running"],
  ["job.saving", "saving"],
  ["job.succeeded", "succeeded"],
];

function event(seq: number, job: Job, type: JobEventType = "job.running"): ServerMessage {
  return { type: "event", seq, event: { type, job } };
}

/** The events of several jobs' lives, one job after the other in turns, from seq 1. */
function lives(ids: readonly string[]): ServerMessage[] {
  let seq = 0;
  return LIFE.flatMap(([type, state]) =>
    ids.map((id) => {
      seq += 1;
      return event(seq, exampleJob({ id, state }), type);
    }),
  );
}

function play(messages: readonly ServerMessage[], start: JobsState = NO_JOBS): JobsState {
  return messages.reduce(reduceJobs, start);
}

describe("events", () => {
  test("any order and any repetition lead to the same state once all are here", () => {
    const messages = lives(["a", "b", "c"]);
    const expected = play(messages);
    fc.assert(
      fc.property(
        fc.shuffledSubarray(messages, { minLength: messages.length, maxLength: messages.length }),
        fc.array(fc.constantFrom(...messages), { maxLength: 20 }),
        fc.integer({ min: 0, max: messages.length }),
        (shuffled, repeated, at) => {
          const state = play([...shuffled.slice(0, at), ...repeated, ...shuffled.slice(at)]);
          expect(state).toEqual(expected);
          expect(hasGap(state)).toBe(false);
        },
      ),
    );
    expect(expected.seq).toBe(18);
    expect(expected.jobs.get("a")?.state).toBe("succeeded");
  });

  test("a missing event is a gap until it arrives", () => {
    const [first, second, third] = lives(["a"]) as [ServerMessage, ServerMessage, ServerMessage];
    const gapped = play([first, third]);
    expect(hasGap(gapped)).toBe(true);
    expect(gapped.seq).toBe(1);
    expect(gapped.jobs.get("a")?.state).toBe("queued");
    const mended = reduceJobs(gapped, second);
    expect(hasGap(mended)).toBe(false);
    expect(mended.jobs.get("a")?.state).toBe("submitted");
  });

  test("an event that was seen is dropped", () => {
    const state = play(lives(["a"]));
    expect(reduceJobs(state, event(3, exampleJob({ id: "a", state: "running" })))).toBe(state);
  });
});

describe("snapshot", () => {
  const snapshot = (seq: number, jobs: Job[]): ServerMessage => ({
    type: "snapshot",
    seq,
    jobs,
    usage: EXAMPLE_USAGE,
  });

  test("stands for every event up to its seq", () => {
    const state = play([
      snapshot(5, [exampleJob({ state: "running" })]),
      event(4, exampleJob({ state: "queued" })),
    ]);
    expect(state.jobs.get("j1")?.state).toBe("running");
    expect(state.usage).toEqual(EXAMPLE_USAGE);
  });

  test("closes a gap that it covers and keeps older jobs that it does not name", () => {
    const gapped = play([event(1, exampleJob({ id: "old" })), event(4, exampleJob({ id: "new" }))]);
    const state = reduceJobs(gapped, snapshot(4, [exampleJob({ id: "new", state: "succeeded" })]));
    expect(hasGap(state)).toBe(false);
    expect([...state.jobs.keys()].sort()).toEqual(["new", "old"]);
    expect(state.jobs.get("new")?.state).toBe("succeeded");
  });

  test("with a lower seq means a server that starts over", () => {
    const state = reduceJobs(play(lives(["a"])), snapshot(0, []));
    expect(state.jobs.size).toBe(0);
    expect(state.seq).toBe(0);
  });
});

describe("what is not stored", () => {
  test.each(["claimed", "submitted", "running"] as const)("progress moves a %s job", (state) => {
    const next = play([
      event(1, exampleJob({ state })),
      { type: "progress", job_id: "j1", step: 2, steps: 4, preview_url: "/p?n=2" },
    ]);
    expect(next.jobs.get("j1")).toMatchObject({ progress: { step: 2, steps: 4 }, preview_url: "/p?n=2" });
  });

  test.each(["queued", "saving", "succeeded", "failed", "cancelled"] as const)(
    "late progress does not touch a %s job",
    (state) => {
      const before = play([event(1, exampleJob({ state }))]);
      expect(
        reduceJobs(before, { type: "progress", job_id: "j1", step: 2, steps: 4, preview_url: null }),
      ).toBe(before);
    },
  );

  test("progress without a preview keeps the last one", () => {
    const next = play([
      event(1, exampleJob({ state: "running", preview_url: "/p?n=1" })),
      { type: "progress", job_id: "j1", step: 2, steps: 4, preview_url: null },
    ]);
    expect(next.jobs.get("j1")?.preview_url).toBe("/p?n=1");
  });

  test("queue places reach queued jobs only", () => {
    const queue: ServerMessage = {
      type: "queue",
      jobs: [
        { id: "a", position: 4, eta_s: 9 },
        { id: "b", position: 1, eta_s: 1 },
      ],
    };
    const state = play([
      event(1, exampleJob({ id: "a" })),
      event(2, exampleJob({ id: "b", state: "running", position: null })),
      queue,
    ]);
    expect(state.jobs.get("a")).toMatchObject({ position: 4, eta_s: 9 });
    expect(state.jobs.get("b")?.position).toBeNull();
  });

  test("usage replaces usage and a ping changes nothing", () => {
    const state = reduceJobs(NO_JOBS, { type: "usage", usage: EXAMPLE_USAGE });
    expect(state.usage).toBe(EXAMPLE_USAGE);
    expect(reduceJobs(state, { type: "ping", seq: 9 })).toBe(state);
  });
});

describe("loaded jobs", () => {
  test("never take a job back in time", () => {
    const state = play(lives(["a"]));
    expect(
      reduceJobs(state, { type: "loaded", jobs: [exampleJob({ id: "a", state: "queued" })] }).jobs.get("a")
        ?.state,
    ).toBe("succeeded");
  });

  test("add unknown jobs, end known ones and mark a cancel", () => {
    const state = play([event(1, exampleJob({ id: "a" })), event(2, exampleJob({ id: "b" }))]);
    const next = reduceJobs(state, {
      type: "loaded",
      jobs: [
        exampleJob({ id: "a", state: "cancelled" }),
        exampleJob({ id: "b", cancel_requested: true }),
        exampleJob({ id: "c" }),
      ],
    });
    expect(next.jobs.get("a")?.state).toBe("cancelled");
    expect(next.jobs.get("b")?.cancel_requested).toBe(true);
    expect(next.jobs.has("c")).toBe(true);
  });

  test("are listed newest first", () => {
    const jobs = ["2030-01-01T00:00:01Z", "2030-01-01T00:00:03Z", "2030-01-01T00:00:02Z"].map((created_at) =>
      exampleJob({ id: created_at, created_at }),
    );
    const state = reduceJobs(NO_JOBS, { type: "loaded", jobs });
    expect(jobsNewestFirst(state).map((job) => job.created_at.slice(17, 19))).toEqual(["03", "02", "01"]);
  });
});
