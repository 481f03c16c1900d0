/** The history: every image so far, newest first. */
import { CircleSlash, TriangleAlert } from "lucide";
import { useEffect, useRef } from "preact/hooks";
import { indicatorText } from "../../core/indicator";
import { isTerminal, type Job } from "../../core/job";
import { useStudio } from "../studio";
import { Icon } from "./icon";

export function HistoryStrip() {
  const { generation } = useStudio();
  const jobs = generation.history.value;
  const current = generation.job.value;
  const batch = generation.batchShown.value;
  // A batch that is looked at as a whole is here as its one waiting image, if at all.
  const isCurrent = (job: Job): boolean =>
    batch === null ? job.id === current?.id : job.batch_id === batch.id && !isTerminal(job);
  return (
    <nav class="history" aria-label="History">
      {jobs.length === 0 && <p class="history-empty">Your images gather here</p>}
      <ol class="history-list">
        {jobs.map((job) => (
          <li key={job.id}>
            <button
              type="button"
              class="history-item"
              data-testid="history-item"
              data-state={job.state}
              aria-current={isCurrent(job)}
              aria-label={nameOf(job)}
              title={nameOf(job)}
              onClick={() => generation.look(job.id)}
            >
              <Thumbnail job={job} />
            </button>
          </li>
        ))}
        {generation.older.value === "more" && <OlderMark />}
      </ol>
    </nav>
  );
}

/** The end of what is loaded: seeing it loads more. */
function OlderMark() {
  const { generation } = useStudio();
  const mark = useRef<HTMLLIElement>(null);
  useEffect(() => {
    if (mark.current === null) return;
    const observer = new IntersectionObserver(([entry]) => {
      if (entry?.isIntersecting === true) void generation.loadOlder();
    });
    observer.observe(mark.current);
    return () => observer.disconnect();
  }, [generation]);
  return <li class="history-more" ref={mark} aria-hidden="true" />;
}

function Thumbnail({ job }: { readonly job: Job }) {
  const image = job.images[0];
  if (image !== undefined) return <img src={image.thumbnail_url} alt="" loading="lazy" decoding="async" />;
  if (job.state === "failed") return <Icon node={TriangleAlert} />;
  if (job.state === "cancelled") return <Icon node={CircleSlash} />;
  return <span class="history-working" />;
}

function nameOf(job: Job): string {
  const about = job.params.prompt === "" ? "Image without a prompt" : job.params.prompt;
  if (job.state === "succeeded") return about;
  const state = isTerminal(job) ? job.state : indicatorText({ type: "starting" }).toLowerCase();
  return `${about} (${state})`;
}
