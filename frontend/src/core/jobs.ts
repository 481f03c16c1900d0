/**
 * The jobs store: everything known about the caller's jobs, built from the server's messages.
 *
 * Events carry a gapless `seq`. One that was seen is dropped; one that came early waits in `early` until those before
 * it are here, so that order and repetition never change the outcome.
 */
import { isOnNode, isTerminal, type Job, type Usage } from "./job";
import { unreachable } from "./never";

export type JobEventType =
  | "job.queued"
  | "job.claimed"
  | "job.submitted"
  | "job.running"
  | "job.saving"
  | "job.succeeded"
  | "job.failed"
  | "job.cancelled"
  | "job.requeued"
  | "job.cancel_requested";

export type JobEvent = { readonly type: JobEventType; readonly job: Job };

export type ServerMessage =
  | { readonly type: "snapshot"; readonly seq: number; readonly jobs: readonly Job[]; readonly usage: Usage }
  | { readonly type: "event"; readonly seq: number; readonly event: JobEvent }
  | {
      readonly type: "progress";
      readonly job_id: string;
      readonly step: number;
      readonly steps: number;
      readonly preview_url: string | null;
    }
  | {
      readonly type: "queue";
      readonly jobs: readonly {
        readonly id: string;
        readonly position: number | null;
        readonly eta_s: number | null;
      }[];
    }
  | { readonly type: "usage"; readonly usage: Usage }
  | { readonly type: "ping"; readonly seq: number };

/** `loaded` are jobs that an HTTP answer brought; they carry no seq and may be older than what is known. */
export type JobsMessage = ServerMessage | { readonly type: "loaded"; readonly jobs: readonly Job[] };

export type JobsState = {
  /** Highest seq up to which nothing is missing. */
  readonly seq: number;
  readonly jobs: ReadonlyMap<string, Job>;
  readonly early: ReadonlyMap<number, JobEvent>;
  readonly usage: Usage | null;
};

export const NO_JOBS: JobsState = { seq: 0, jobs: new Map(), early: new Map(), usage: null };

/** True while an event is missing: the socket must connect again with `since`. */
export function hasGap(state: JobsState): boolean {
  return state.early.size > 0;
}

export function reduceJobs(state: JobsState, message: JobsMessage): JobsState {
  switch (message.type) {
    case "snapshot":
      return applySnapshot(state, message.seq, message.jobs, message.usage);
    case "event":
      return applyEvent(state, message.seq, message.event);
    case "progress":
      return changeJob(state, message.job_id, (job) =>
        isOnNode(job)
          ? {
              ...job,
              progress: { step: message.step, steps: message.steps },
              preview_url: message.preview_url ?? job.preview_url,
            }
          : job,
      );
    case "queue":
      return message.jobs.reduce(
        (next, { id, position, eta_s }) =>
          changeJob(next, id, (job) => (job.state === "queued" ? { ...job, position, eta_s } : job)),
        state,
      );
    case "usage":
      return { ...state, usage: message.usage };
    case "loaded":
      return { ...state, jobs: mergeLoaded(state.jobs, message.jobs) };
    case "ping":
      return state;
    default:
      return unreachable(message);
  }
}

/** Newest first. */
export function jobsNewestFirst(state: JobsState): readonly Job[] {
  return [...state.jobs.values()].sort((a, b) => compare(b.created_at, a.created_at) || compare(b.id, a.id));
}

function applySnapshot(state: JobsState, seq: number, jobs: readonly Job[], usage: Usage): JobsState {
  // A lower seq means that the server lost its past; then nothing from before counts.
  const older = seq < state.seq ? new Map<string, Job>() : new Map(state.jobs);
  for (const job of jobs) older.set(job.id, job);
  const early = seq < state.seq ? new Map<number, JobEvent>() : state.early;
  return takeEarly({ seq, jobs: older, early, usage });
}

function applyEvent(state: JobsState, seq: number, event: JobEvent): JobsState {
  if (seq <= state.seq || state.early.has(seq)) return state;
  return takeEarly({ ...state, early: new Map(state.early).set(seq, event) });
}

/** Apply the waiting events that nothing is missing before; drop those that were seen meanwhile. */
function takeEarly(state: JobsState): JobsState {
  const early = new Map([...state.early].filter(([seq]) => seq > state.seq));
  const jobs = new Map(state.jobs);
  let seq = state.seq;
  for (let next = early.get(seq + 1); next !== undefined; next = early.get(seq + 1)) {
    seq += 1;
    early.delete(seq);
    jobs.set(next.job.id, next.job);
  }
  return { ...state, seq, jobs, early };
}

function changeJob(state: JobsState, id: string, change: (job: Job) => Job): JobsState {
  const job = state.jobs.get(id);
  if (job === undefined) return state;
  const changed = change(job);
  return changed === job ? state : { ...state, jobs: new Map(state.jobs).set(id, changed) };
}

/** Take a loaded job where it is news: unknown so far, or terminal, which never changes again. */
function mergeLoaded(known: ReadonlyMap<string, Job>, loaded: readonly Job[]): ReadonlyMap<string, Job> {
  const jobs = new Map(known);
  for (const job of loaded) {
    const old = jobs.get(job.id);
    if (old === undefined || (isTerminal(job) && !isTerminal(old))) jobs.set(job.id, job);
    else if (job.cancel_requested && !old.cancel_requested && !isTerminal(old)) {
      jobs.set(job.id, { ...old, cancel_requested: true });
    }
  }
  return jobs;
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
