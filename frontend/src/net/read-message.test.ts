import { describe, expect, test } from "vitest";
import { EXAMPLE_USAGE, exampleJob } from "../core/job-example";
import { BadReply } from "./api-error";
import { readMessage } from "./read-message";

describe("reading messages", () => {
  test.each([
    { type: "snapshot", seq: 3, jobs: [exampleJob()], usage: EXAMPLE_USAGE },
    { type: "event", seq: 4, event: { type: "job.running", job: exampleJob({ state: "running" }) } },
    { type: "progress", job_id: "j1", step: 1, steps: 4, preview_url: null },
    { type: "queue", jobs: [{ id: "j1", position: 2, eta_s: 4.5 }] },
    { type: "usage", usage: EXAMPLE_USAGE },
    { type: "ping", seq: 4 },
  ])("$type is read whole", (message) => {
    expect(readMessage(JSON.stringify(message))).toEqual(message);
  });

  test("an unknown type is left out", () => {
    expect(readMessage('{"type":"confetti"}')).toBeNull();
  });

  test.each([['{"type":"event","seq":"4","event":{}}'], ['{"type":"ping"}'], ["[]"]])(
    "%s is a bad reply",
    (text) => {
      expect(() => readMessage(text)).toThrow(BadReply);
    },
  );

  test("fields that the contract does not name are dropped", () => {
    expect(readMessage('{"type":"ping","seq":1,"extra":true}')).toEqual({ type: "ping", seq: 1 });
  });
});
