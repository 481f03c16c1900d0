/** The history: every image so far, newest first. */
import { CircleSlash, TriangleAlert } from "lucide";
import { useEffect, useRef, useState } from "preact/hooks";
import { indicatorText } from "../../core/indicator";
import { isTerminal, type Job } from "../../core/job";
import type { Mode } from "../../core/mode";
import { useStudio } from "../studio";
import { Icon } from "./icon";
import { ImageMenu } from "./image-menu";

export function HistoryStrip() {
  const { generation } = useStudio();
  const jobs = generation.history.value;
  const current = generation.job.value;
  const batch = generation.batchShown.value;
  // A batch that is looked at as a whole is here as its one waiting image, if at all.
  const isCurrent = (job: Job): boolean =>
    batch === null ? job.id === current?.id : job.batch_id === batch.id && !isTerminal(job);
  const [menu, setMenu] = useState<OpenMenu | null>(null);
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
              aria-keyshortcuts={hasMenu(job) ? "Shift+F10" : undefined}
              onClick={() => generation.look(job.id)}
              onContextMenu={(event) => {
                if (!hasMenu(job)) return;
                event.preventDefault();
                setMenu({ job, at: { x: event.clientX, y: event.clientY } });
              }}
            >
              <Thumbnail job={job} />
            </button>
          </li>
        ))}
        {generation.older.value === "more" && <OlderMark />}
      </ol>
      {menu !== null && (
        <ImageMenu job={menu.job} at={menu.at} name={nameOf(menu.job)} onClose={() => setMenu(null)} />
      )}
    </nav>
  );
}

type OpenMenu = { readonly job: Job; readonly at: { readonly x: number; readonly y: number } };

function hasMenu(job: Job): boolean {
  return job.state === "succeeded";
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
  if (image !== undefined) {
    const badge = BADGES[job.params.mode];
    return (
      <>
        <img src={image.thumbnail_url} alt="" loading="lazy" decoding="async" />
        {badge !== undefined && <span class="history-badge">{badge}</span>}
      </>
    );
  }
  if (job.state === "failed") return <Icon node={TriangleAlert} />;
  if (job.state === "cancelled") return <Icon node={CircleSlash} />;
  return <span class="history-working" />;
}

/** What tells an enlarged image from the one that it was made from. */
const BADGES: Partial<Record<Mode, string>> = { hd: "HD", upscale: "2×" };

function nameOf(job: Job): string {
  const { prompt, mode } = job.params;
  const badge = BADGES[mode];
  const about =
    (prompt === "" ? "Image without a prompt" : prompt) + (badge === undefined ? "" : `, ${badge}`);
  if (job.state === "succeeded") return about;
  const state = isTerminal(job) ? job.state : indicatorText({ type: "starting" }).toLowerCase();
  return `${about} (${state})`;
}
