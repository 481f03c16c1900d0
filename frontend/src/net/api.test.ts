import { describe, expect, test } from "vitest";
import { EXAMPLE_CONFIG } from "../core/config-example";
import { exampleJob } from "../core/job-example";
import { createApi } from "./api";
import { ApiError, BadReply, NetworkError } from "./api-error";

const BODY = {
  sketch: "aGk=",
  prompt: "a house",
  mode: "paint",
  model: "distilled",
  denoise: 0.75,
  steps: 4,
  seed: 7,
  variation: 2,
  width: 512,
  height: 512,
  count: 1,
  lane: "batch",
} as const;

type Answer = (request: Request) => Response | Promise<Response>;

/** An API whose server gives these answers in turn, the last one for ever. */
function scripted(...answers: Answer[]) {
  const requests: Request[] = [];
  const waits: number[] = [];
  const api = createApi({
    origin: "http://studio.test",
    csrfToken: () => "token-1",
    wait: async (duration_ms) => {
      waits.push(duration_ms);
    },
    fetch: async (request) => {
      const answer = answers[Math.min(requests.length, answers.length - 1)];
      requests.push(request.clone());
      if (answer === undefined) throw new Error("no answer left");
      return answer(request);
    },
  });
  return { api, requests, waits };
}

function json(status: number, body: unknown, headers: Record<string, string> = {}): Answer {
  return () => Response.json(body, { status, headers });
}

const noConnection: Answer = () => {
  throw new TypeError("Failed to fetch");
};

const accepted = json(202, { batch_id: "b1", jobs: [exampleJob()] });

describe("generate", () => {
  test("sends the body, the key and the CSRF token and reads the jobs", async () => {
    const { api, requests } = scripted(accepted);
    const jobs = await api.generate(BODY, "key-1");
    expect(jobs.map((job) => job.id)).toEqual(["j1"]);
    const [request] = requests;
    expect(request?.url).toBe("http://studio.test/api/generate");
    expect(request?.headers.get("Idempotency-Key")).toBe("key-1");
    expect(request?.headers.get("X-CSRFToken")).toBe("token-1");
    expect(await request?.json()).toEqual(BODY);
  });

  test("asks again with the same key while no answer comes", async () => {
    const { api, requests, waits } = scripted(noConnection, json(502, "bad gateway"), accepted);
    await expect(api.generate(BODY, "key-1")).resolves.toHaveLength(1);
    expect(requests.map((request) => request.headers.get("Idempotency-Key"))).toEqual([
      "key-1",
      "key-1",
      "key-1",
    ]);
    expect(waits).toHaveLength(2);
  });

  test("gives up after four attempts", async () => {
    const { api, requests } = scripted(noConnection);
    await expect(api.generate(BODY, "key-1")).rejects.toBeInstanceOf(NetworkError);
    expect(requests).toHaveLength(4);
  });

  test("never repeats a refusal", async () => {
    const { api, requests } = scripted(
      json(400, {
        code: "invalid",
        message: "denoise: Give a number from 0 to 1.",
        extra: { fields: { denoise: ["Give a number from 0 to 1."] } },
      }),
    );
    await expect(api.generate(BODY, "key-1")).rejects.toMatchObject({
      code: "invalid",
      status: 400,
      fields: { denoise: ["Give a number from 0 to 1."] },
    });
    expect(requests).toHaveLength(1);
  });

  test("reads when to come back", async () => {
    const { api } = scripted(
      json(429, { code: "quota_exhausted", message: "Used up.", extra: {} }, { "Retry-After": "90" }),
    );
    await expect(api.generate(BODY, "key-1")).rejects.toMatchObject({
      code: "quota_exhausted",
      retry_after_s: 90,
    });
  });
});

describe("answers", () => {
  test("a page of jobs with its cursor", async () => {
    const { api, requests } = scripted(json(200, { next: "c2", jobs: [exampleJob()] }));
    await expect(api.jobs("c1")).resolves.toMatchObject({ next: "c2" });
    expect(requests[0]?.url).toBe("http://studio.test/api/jobs?cursor=c1");
    expect(requests[0]?.headers.get("X-CSRFToken")).toBeNull();
  });

  test("cancel and retry answer with a job", async () => {
    const { api, requests } = scripted(json(200, exampleJob({ cancel_requested: true })));
    expect((await api.cancel("j1")).cancel_requested).toBe(true);
    await api.retry("j1", "key-2");
    expect(requests[1]?.headers.get("Idempotency-Key")).toBe("key-2");
    expect(requests.map((request) => new URL(request.url).pathname)).toEqual([
      "/api/jobs/j1/cancel",
      "/api/jobs/j1/retry",
    ]);
  });

  test("stopping a batch names the batch alone, and is repeated until there is an answer", async () => {
    const { api, requests } = scripted(
      noConnection,
      json(200, { jobs: [exampleJob({ state: "cancelled" })] }),
    );
    expect((await api.cancelBatch("b1")).map((job) => job.state)).toEqual(["cancelled"]);
    expect(await requests[1]?.json()).toEqual({ batch_id: "b1" });
    expect(new URL(requests[1]?.url ?? "").pathname).toBe("/api/jobs/cancel");
  });

  test("a picture comes as bytes, a missing one as a refusal", async () => {
    const gone = json(404, { code: "not_found", message: "There is nothing here.", extra: {} });
    const { api, requests } = scripted(() => new Response("png"), gone);
    expect(await (await api.picture("/api/jobs/j1/sketch")).text()).toBe("png");
    expect(requests[0]?.url).toBe("http://studio.test/api/jobs/j1/sketch");
    await expect(api.picture("/api/jobs/j2/sketch")).rejects.toMatchObject({
      code: "not_found",
      status: 404,
    });
    await expect(scripted(noConnection).api.picture("/x")).rejects.toBeInstanceOf(NetworkError);
  });

  test("the configuration says what can be made right now", async () => {
    const { api } = scripted(json(200, { ...EXAMPLE_CONFIG, workflows: null }));
    await expect(api.config()).resolves.toEqual({ ...EXAMPLE_CONFIG, workflows: null });
  });

  test.each([
    ["another shape", json(200, { jobs: [{ id: 5 }] })],
    ["a page of HTML where a refusal should be", () => new Response("<h1>500</h1>", { status: 500 })],
  ])("%s is a bad reply", async (_, answer) => {
    const { api } = scripted(answer);
    await expect(api.jobs(null)).rejects.toBeInstanceOf(BadReply);
  });

  test("every failure is an ApiError", async () => {
    await expect(scripted(noConnection).api.jobs(null)).rejects.toBeInstanceOf(ApiError);
  });
});
