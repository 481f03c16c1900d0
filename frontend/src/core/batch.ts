/** A batch: the images that were asked for together. */
import { isTerminal, type Job } from "./job";

export type Batch = {
  readonly id: string;
  /** The first one first. */
  readonly jobs: readonly Job[];
  readonly ready: number;
  readonly failed: number;
  readonly stopped: number;
  /** How many are still to come. */
  readonly active: number;
};

/** Gather a batch from the known jobs; null for an image that was asked for alone. */
export function batchOf(jobs: Iterable<Job>, id: string): Batch | null {
  const members = [...jobs].filter((job) => job.batch_id === id);
  if (members.length < 2) return null;
  members.sort((a, b) => (a.created_at < b.created_at ? -1 : 1));
  const count = (state: Job["state"]): number => members.filter((job) => job.state === state).length;
  const [ready, failed, stopped] = [count("succeeded"), count("failed"), count("cancelled")];
  return { id, jobs: members, ready, failed, stopped, active: members.length - ready - failed - stopped };
}

/** How far a batch is, as a sentence. */
export function batchText({ jobs, ready, failed, stopped, active }: Batch): string {
  if (ready === jobs.length) return `All ${ready} ready`;
  if (stopped === jobs.length) return "Stopped before the first was ready";
  const parts = [`${ready} of ${jobs.length} ready`];
  if (failed > 0) parts.push(`${failed} failed`);
  if (stopped > 0 && active === 0) parts.push("the rest stopped");
  return parts.join(", ");
}

/** The jobs to show together: once nothing more comes, those that were stopped leave their room. */
export function tilesOf({ jobs, active, stopped }: Batch): readonly Job[] {
  return active > 0 || stopped === jobs.length ? jobs : jobs.filter((job) => job.state !== "cancelled");
}

/** Leave out of a list what waits, save one job of each batch: sixteen waiting images say no more than one. */
export function hideWaiting(jobs: readonly Job[]): readonly Job[] {
  const waiting = new Set<string>();
  return jobs.filter((job) => {
    if (isTerminal(job)) return true;
    if (waiting.has(job.batch_id)) return false;
    waiting.add(job.batch_id);
    return true;
  });
}

/** The columns in which `count` pictures are largest in a square; `shape` is width by height. */
export function gridColumns(count: number, shape: number): number {
  const width = (columns: number): number => Math.min(1 / columns, shape / Math.ceil(count / columns));
  let best = 1;
  for (let columns = 2; columns <= count; columns += 1) {
    if (width(columns) > width(best)) best = columns;
  }
  return best;
}
