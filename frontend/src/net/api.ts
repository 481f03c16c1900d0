/** The API client: what the studio asks of the server over HTTP. */
import createClient from "openapi-fetch";
import type { FieldErrors, GenerateBody } from "../core/generate-request";
import type { Job } from "../core/job";
import type { Config } from "../core/settings";
import { ApiError, BadReply, NetworkError } from "./api-error";
import { type JobPage, readConfig, readJob, readJobPage, readJobs } from "./read-job";
import { type Json, listOf, nullable, objectOf, type Reader, readString } from "./read-json";
import type { paths } from "./schema";

export type ApiOptions = {
  /** Scheme and host that the API lives on. */
  readonly origin: string;
  readonly fetch: (request: Request) => Promise<Response>;
  /** The CSRF cookie's value, read anew for each request: signing in changes it. */
  readonly csrfToken: () => string;
  readonly wait: (duration_ms: number) => Promise<void>;
};

export type Api = {
  /** Ask for images. The key makes it safe to ask again when no answer came. */
  generate(body: GenerateBody, idempotencyKey: string): Promise<readonly Job[]>;
  jobs(cursor: string | null): Promise<JobPage>;
  cancel(id: string): Promise<Job>;
  /** Cancel what is still to come of a batch. */
  cancelBatch(batchId: string): Promise<readonly Job[]>;
  /** The bytes of a sketch or an image, by the address that a job gives. */
  picture(url: string): Promise<Blob>;
  config(): Promise<Config>;
  /** Make a failed job's image anew, as a new job. */
  retry(id: string, idempotencyKey: string): Promise<Job>;
};

/** Chosen: a tunnel that reconnects takes a second or two; longer, and the user should hear of it. */
const RETRY_DELAYS_MS = [400, 1200, 2400];
const TIMEOUT_MS = 30_000;

/** Gateways answer these while the server behind them restarts; nothing is known of the request. */
const NO_ANSWER_STATUS = new Set([502, 503, 504]);

export function createApi({ origin, fetch, csrfToken, wait }: ApiOptions): Api {
  async function ask(request: Request): Promise<Response> {
    try {
      return await fetch(new Request(request, { signal: AbortSignal.timeout(TIMEOUT_MS) }));
    } catch {
      throw new NetworkError();
    }
  }
  const client = createClient<paths>({
    baseUrl: origin,
    credentials: "same-origin",
    headers: { Accept: "application/json" },
    fetch: ask,
  });
  client.use({
    onRequest({ request }) {
      if (request.method !== "GET") request.headers.set("X-CSRFToken", csrfToken());
      return request;
    },
  });

  return {
    async generate(body, idempotencyKey) {
      const params = { header: { "Idempotency-Key": idempotencyKey } };
      const answer = await persist(wait, () => client.POST("/api/generate", { params, body }));
      return check(answer, readJobs).jobs;
    },
    async jobs(cursor) {
      const query = cursor === null ? {} : { cursor };
      return check(await client.GET("/api/jobs", { params: { query } }), readJobPage);
    },
    async cancel(id) {
      const path = { job_id: id };
      const answer = await persist(wait, () =>
        client.POST("/api/jobs/{job_id}/cancel", { params: { path } }),
      );
      return check(answer, readJob);
    },
    async cancelBatch(batchId) {
      const body = { batch_id: batchId };
      return check(await persist(wait, () => client.POST("/api/jobs/cancel", { body })), readJobs).jobs;
    },
    async picture(url) {
      const response = await ask(new Request(new URL(url, origin), { credentials: "same-origin" }));
      if (response.ok) return response.blob();
      throw refusal(await response.json().catch(() => null), response);
    },
    async config() {
      return check(await client.GET("/api/config"), readConfig);
    },
    async retry(id, idempotencyKey) {
      const params = { path: { job_id: id }, header: { "Idempotency-Key": idempotencyKey } };
      const answer = await persist(wait, () => client.POST("/api/jobs/{job_id}/retry", { params }));
      return check(answer, readJob);
    },
  };
}

type Answer = { readonly data?: Json; readonly error?: Json; readonly response: Response };

/** Repeat what is safe to repeat until there is an answer, at most four times. */
async function persist(wait: ApiOptions["wait"], ask: () => Promise<Answer>): Promise<Answer> {
  for (const delay_ms of RETRY_DELAYS_MS) {
    try {
      const answer = await ask();
      if (!NO_ANSWER_STATUS.has(answer.response.status)) return answer;
    } catch (error) {
      if (!(error instanceof NetworkError)) throw error;
    }
    await wait(delay_ms);
  }
  return ask();
}

function check<T>({ data, error, response }: Answer, reader: Reader<T>): T {
  if (response.ok) return reader(data, new URL(response.url || "about:blank").pathname);
  throw refusal(error, response);
}

const readRefusal = objectOf<{ code: string; message: string; extra: Json }>({
  code: readString,
  message: readString,
  extra: (value) => value,
});

function refusal(body: Json, response: Response): ApiError {
  const { status } = response;
  if (NO_ANSWER_STATUS.has(status)) return new NetworkError();
  const retryAfter = Number(response.headers.get("Retry-After") ?? Number.NaN);
  try {
    const { code, message, extra } = readRefusal(body, `status ${status}`);
    return new ApiError(
      code,
      status,
      message,
      readFields(extra),
      Number.isFinite(retryAfter) ? retryAfter : null,
    );
  } catch (problem) {
    return problem instanceof BadReply ? new BadReply(`status ${status}`, status) : new NetworkError();
  }
}

const readExtra = nullable(objectOf<{ fields: Json }>({ fields: (value) => value }));
const readMessages = listOf(readString);

function readFields(extra: Json): FieldErrors {
  const fields = readExtra(extra, "extra")?.fields;
  if (typeof fields !== "object" || fields === null) return {};
  return Object.fromEntries(
    Object.entries(fields).map(([name, messages]: [string, Json]) => [name, readMessages(messages, name)]),
  );
}
