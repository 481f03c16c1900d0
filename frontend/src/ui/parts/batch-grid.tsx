/** The batch's grid: every image of it, each as soon as it is ready. */
import { CircleSlash, TriangleAlert } from "lucide";
import { type Batch, gridColumns, tilesOf } from "../../core/batch";
import { isOnNode, type Job } from "../../core/job";
import { useStudio } from "../studio";
import { Icon } from "./icon";

export function BatchGrid({ batch }: { readonly batch: Batch }) {
  const jobs = tilesOf(batch);
  const { width, height } = jobs[0]?.params ?? { width: 1, height: 1 };
  const columns = gridColumns(jobs.length, width / height);
  return (
    <div class="grid-frame">
      <ol
        class="grid"
        aria-label="Variations"
        data-testid="grid"
        style={{
          "--columns": columns,
          "--rows": Math.ceil(jobs.length / columns),
          "--shape": width / height,
        }}
      >
        {jobs.map((job, index) => (
          <li key={job.id} class="grid-cell">
            <Tile job={job} name={`Variation ${index + 1} of ${jobs.length}`} columns={columns} />
          </li>
        ))}
      </ol>
    </div>
  );
}

type TileProps = { readonly job: Job; readonly name: string; readonly columns: number };

function Tile({ job, name, columns }: TileProps) {
  const { generation } = useStudio();
  const image = job.images[0];
  const look = (): void => generation.look(job.id);
  if (image !== undefined) {
    return (
      <button type="button" class="tile" data-testid="tile" aria-label={name} title={name} onClick={look}>
        <img
          src={image.thumbnail_url}
          // The thumbnail's longer side; where it is too small, the image itself.
          srcset={`${image.thumbnail_url} 320w, ${image.url} ${image.width}w`}
          sizes={`${Math.round(48 / columns)}vw`}
          alt=""
          decoding="async"
        />
      </button>
    );
  }
  if (job.state === "failed") {
    const words = `${name} failed. See why`;
    return (
      <button type="button" class="tile" data-state="failed" aria-label={words} title={words} onClick={look}>
        <Icon node={TriangleAlert} />
      </button>
    );
  }
  const stopped = job.state === "cancelled";
  return (
    <span
      class="tile"
      data-state={job.state}
      role="img"
      aria-label={`${name}, ${stopped ? "stopped" : "to come"}`}
    >
      {stopped ? <Icon node={CircleSlash} /> : isOnNode(job) && <span class="history-working" />}
    </span>
  );
}
