/** The state of generating: settings, jobs, and which of them is looked at. */
import { batch, computed, type ReadonlySignal, signal } from "@preact/signals";
import { batchOf, hideWaiting } from "../../core/batch";
import type { SketchDocument } from "../../core/document";
import { buildEnlarged } from "../../core/enlarging";
import { isRetryable } from "../../core/failure";
import {
  buildGenerate,
  checkGenerate,
  type FieldErrors,
  type GenerateBody,
} from "../../core/generate-request";
import { indicatorFor, isBusy } from "../../core/indicator";
import { isTerminal, type Job } from "../../core/job";
import {
  hasGap,
  type JobsState,
  jobsNewestFirst,
  NO_JOBS,
  reduceJobs,
  type ServerMessage,
} from "../../core/jobs";
import type { EnlargingMode, Offered } from "../../core/mode";
import {
  adoptRecipe,
  type Config,
  changeSettings,
  defaultSettings,
  drawSeed,
  recipeOf,
  restoreSettings,
  type Settings,
} from "../../core/settings";
import { NO_SUBMISSION, refusedFields, type Submission } from "../../core/submission";
import { buildVariations, variationsProblem } from "../../core/variations";
import type { Api } from "../../net/api";
import { ApiError } from "../../net/api-error";
import type { Connection } from "../../net/event-socket";

export type GenerationOptions = {
  readonly api: Api;
  readonly config: Config;
  readonly document: ReadonlySignal<SketchDocument>;
  readonly hash: ReadonlySignal<string>;
  /** The drawing as base64 of a PNG of the given size. */
  readonly encode: (document: SketchDocument, size: { width: number; height: number }) => Promise<string>;
  readonly toBase64: (blob: Blob) => Promise<string>;
  readonly remembered: unknown;
  /** What `lastSent` gave on an earlier visit. */
  readonly rememberedSent: unknown;
  readonly random: () => number;
  readonly newKey: () => string;
};

export type GenerationStore = ReturnType<typeof createGenerationStore>;

/** A request that no answer came to; sent again exactly so, it cannot make a second image. */
type Unanswered = { readonly ask: () => Promise<readonly Job[]>; readonly hash: string | null };

export function createGenerationStore(options: GenerationOptions) {
  const { api, config } = options;
  /** What the image machines can make, as last heard. */
  const offered = signal<Offered>(config.workflows);
  const settings = signal<Settings>(
    restoreSettings(options.remembered, config, defaultSettings(config, drawSeed(options.random()))),
  );
  const jobs = signal<JobsState>(NO_JOBS);
  const connection = signal<Connection>("connecting");
  const submission = signal<Submission>(NO_SUBMISSION);
  const localFields = signal<FieldErrors>({});
  const explainEmpty = signal(false);
  /** The job that the user chose to look at; null follows the newest. */
  const chosenId = signal<string | null>(null);
  /** What was drawn when a job's sketch was sent. */
  const sentHashes = signal<ReadonlyMap<string, string>>(restoreSent(options.rememberedSent));
  const older = signal<"more" | "loading" | "none" | "failed">("more");
  let cursor: string | null = null;
  /** Whether a batch is looked at as a whole; what is under way in one always is. */
  const whole = signal(true);
  let unanswered: Unanswered | null = null;
  /** What was refused, to be asked for again. */
  let again: (() => Promise<void>) | null = null;
  let cancelWanted = false;

  const newestFirst = computed(() => jobsNewestFirst(jobs.value));
  const job = computed<Job | null>(() => {
    const chosen = chosenId.value === null ? undefined : jobs.value.jobs.get(chosenId.value);
    return chosen ?? newestFirst.value[0] ?? null;
  });
  const jobBatch = computed(() =>
    job.value === null ? null : batchOf(jobs.value.jobs.values(), job.value.batch_id),
  );
  const batchShown = computed(() =>
    whole.value || (job.value !== null && !isTerminal(job.value)) ? jobBatch.value : null,
  );
  /** What is worth going back to; a cancelled job is, while it is looked at. */
  const history = computed(() => {
    const lookedAt = batchShown.value === null ? job.value?.id : null;
    return hideWaiting(
      newestFirst.value.filter((each) => each.state !== "cancelled" || each.id === lookedAt),
    );
  });
  const drawing = computed(() => {
    const sent = job.value === null ? undefined : sentHashes.value.get(job.value.id);
    if (sent === undefined) return "unknown";
    return sent === options.hash.value ? "same" : "changed";
  });
  const indicator = computed(() =>
    indicatorFor({
      job: job.value,
      batch: batchShown.value,
      submission: submission.value,
      drawing: drawing.value,
      online: connection.value === "online" || connection.value === "connecting",
    }),
  );

  /** What was refused about the old settings says nothing about the new ones. */
  function adjust(next: Settings): void {
    batch(() => {
      settings.value = next;
      localFields.value = {};
      if (Object.keys(refusedFields(submission.peek())).length > 0) submission.value = NO_SUBMISSION;
    });
  }

  function isSending(): boolean {
    return submission.peek().type === "sending";
  }

  function refuse(error: unknown): void {
    if (!(error instanceof ApiError)) throw error;
    const { code, message, fields, retry_after_s } = error;
    submission.value = { type: "refused", refusal: { code, message, fields, retry_after_s } };
  }

  /** Take a picture from the server and ask for images of it. */
  async function makeFrom(url: string, build: (sketch: string) => GenerateBody, hash: string | null) {
    submission.value = { type: "sending" };
    try {
      const body = build(await options.toBase64(await api.picture(url)));
      const key = options.newKey();
      await send({ ask: () => api.generate(body, key), hash });
    } catch (error) {
      unanswered = null;
      cancelWanted = false;
      refuse(error);
    }
  }

  async function send(request: Unanswered): Promise<void> {
    submission.value = { type: "sending" };
    try {
      const made = await request.ask();
      unanswered = null;
      accept(made, request.hash);
    } catch (error) {
      unanswered = error instanceof ApiError && error.code === "network" ? request : null;
      cancelWanted = false;
      refuse(error);
    }
  }

  function accept(made: readonly Job[], hash: string | null): void {
    batch(() => {
      jobs.value = reduceJobs(jobs.peek(), { type: "loaded", jobs: made });
      if (hash !== null)
        sentHashes.value = new Map([...sentHashes.peek(), ...made.map((each) => [each.id, hash] as const)]);
      chosenId.value = made[0]?.id ?? null;
      whole.value = true;
      submission.value = NO_SUBMISSION;
    });
    if (cancelWanted) void cancel();
  }

  async function cancel(): Promise<void> {
    if (isSending()) {
      // The job has no id yet; it is cancelled as soon as it has one.
      cancelWanted = true;
      return;
    }
    cancelWanted = false;
    if (batchShown.peek() !== null) return stopBatch();
    const current = job.peek();
    if (current === null || isTerminal(current) || current.cancel_requested) return;
    try {
      const answer = await api.cancel(current.id);
      jobs.value = reduceJobs(jobs.peek(), { type: "loaded", jobs: [answer] });
    } catch (error) {
      refuse(error);
    }
  }

  /** Cancel what is still to come of the batch that is looked at. */
  async function stopBatch(): Promise<void> {
    const current = jobBatch.peek();
    if (current === null || current.active === 0) return;
    try {
      const stopped = await api.cancelBatch(current.id);
      jobs.value = reduceJobs(jobs.peek(), { type: "loaded", jobs: stopped });
    } catch (error) {
      refuse(error);
    }
  }

  return {
    config,
    settings,
    offered,
    connection,
    history,
    job,
    /** The batch of the image that is looked at, if it was not asked for alone. */
    batch: jobBatch,
    /** The batch that is looked at as a whole. */
    batchShown,
    indicator,
    explainEmpty,
    older,
    /** The newest sketch that was sent, to be remembered: job id and content hash. */
    lastSent: computed(() => [...sentHashes.value].at(-1) ?? null),
    usage: computed(() => jobs.value.usage),
    busy: computed(() => isBusy(indicator.value)),
    fieldErrors: computed<FieldErrors>(() => ({ ...refusedFields(submission.value), ...localFields.value })),
    seen: (): number => jobs.peek().seq,

    /** Take a message from the socket; false when one before it is missing. */
    receive(message: ServerMessage): boolean {
      jobs.value = reduceJobs(jobs.peek(), message);
      return !hasGap(jobs.peek());
    },

    change(changes: Partial<Settings>): void {
      adjust(changeSettings(settings.peek(), changes, config));
    },

    async generate(): Promise<void> {
      if (isBusy(indicator.peek())) return;
      again = null;
      const document = options.document.peek();
      if (!settings.peek().seedLocked)
        settings.value = changeSettings(settings.peek(), { seed: drawSeed(options.random()) }, config);
      const wanted = settings.peek();
      const check = checkGenerate(document, wanted, config);
      batch(() => {
        explainEmpty.value = check.type === "empty";
        localFields.value = check.type === "invalid" ? check.fields : {};
        submission.value = check.type === "ready" ? { type: "sending" } : NO_SUBMISSION;
      });
      if (check.type !== "ready") return;
      const hash = options.hash.peek();
      const sketch = await options.encode(document, wanted);
      const body = buildGenerate(sketch, wanted);
      const key = options.newKey();
      await send({ ask: () => api.generate(body, key), hash });
    },

    /** Make more images of a job's drawing with its settings. */
    async vary(source: Job, count: number): Promise<void> {
      const recipe = recipeOf(source.params, source.seed);
      if (isSending() || recipe === null || variationsProblem(source) !== null) return;
      again = () => this.vary(source, count);
      const seed = drawSeed(options.random());
      const hash = sentHashes.peek().get(source.id) ?? null;
      await makeFrom(source.sketch_url, (sketch) => buildVariations(recipe, sketch, seed, count), hash);
    },

    /** Make a finished image twice as large. */
    async enlarge(source: Job, mode: EnlargingMode): Promise<void> {
      const image = source.images[0];
      if (isSending() || image === undefined) return;
      again = () => this.enlarge(source, mode);
      const body = buildEnlarged(source, image, mode);
      const key = options.newKey();
      await send({ ask: () => api.generate(body, key), hash: null });
    },

    /** Ask what the image machines can make now; without an answer, what was last heard stays. */
    async refreshOffered(): Promise<void> {
      try {
        offered.value = (await api.config()).workflows;
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
      }
    },

    cancel,
    stopBatch,

    /** Do what the failure card's button says: the same again. */
    async tryAgain(): Promise<void> {
      if (unanswered !== null) return send(unanswered);
      if (submission.peek().type === "refused") {
        submission.value = NO_SUBMISSION;
        return again === null ? this.generate() : again();
      }
      const failed = job.peek();
      if (failed === null || !isRetryable(failed)) return this.generate();
      const key = options.newKey();
      const ask = async () => [await api.retry(failed.id, key)];
      await send({ ask, hash: sentHashes.peek().get(failed.id) ?? null });
    },

    /** Bring the next page of older jobs; once there is none, do nothing. */
    async loadOlder(): Promise<void> {
      if (older.peek() !== "more") return;
      older.value = "loading";
      try {
        const page = await api.jobs(cursor);
        cursor = page.next;
        jobs.value = reduceJobs(jobs.peek(), { type: "loaded", jobs: page.jobs });
        older.value = page.next === null ? "none" : "more";
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        older.value = "failed";
      }
    },
    /** Try again after `loadOlder` failed. */
    mendOlder(): void {
      if (older.peek() === "failed") older.value = "more";
    },

    /** Look at a job of the history. */
    look(id: string): void {
      batch(() => {
        chosenId.value = id;
        whole.value = false;
        if (submission.peek().type === "refused") submission.value = NO_SUBMISSION;
      });
    },

    showBatch(): void {
      whole.value = true;
    },

    /** Take over what an image was made with; its seed stays for the next one. */
    useSettings({ params, seed }: Job): void {
      const recipe = recipeOf(params, seed);
      if (recipe !== null) adjust(adoptRecipe(settings.peek(), recipe, config));
    },

    dismissEmptyNote(): void {
      explainEmpty.value = false;
    },
  };
}

function restoreSent(remembered: unknown): ReadonlyMap<string, string> {
  if (!Array.isArray(remembered)) return new Map();
  const [id, hash] = remembered as unknown[];
  return typeof id === "string" && typeof hash === "string" ? new Map([[id, hash]]) : new Map();
}
