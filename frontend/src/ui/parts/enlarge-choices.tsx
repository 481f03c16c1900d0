/** The choice of how to make an image larger. */
import { useEffect } from "preact/hooks";
import { ENLARGEMENTS, enlargingProblem } from "../../core/enlarging";
import type { Job } from "../../core/job";
import { useStudio } from "../studio";

type EnlargeChoicesProps = { readonly job: Job; readonly onChosen: () => void };

export function EnlargeChoices({ job, onChosen }: EnlargeChoicesProps) {
  const { generation } = useStudio();
  // What the machines can do changes with the machines.
  useEffect(() => void generation.refreshOffered(), [generation]);
  const image = job.images[0];
  if (image === undefined) return null;
  return (
    <fieldset class="choices">
      <legend class="choices-title">Larger</legend>
      {ENLARGEMENTS.map(({ mode, title, words }) => {
        const problem = enlargingProblem(job, image, mode, generation.offered.value);
        return (
          <button
            key={mode}
            type="button"
            class="choice"
            data-testid={mode}
            aria-disabled={problem !== null}
            onClick={() => {
              if (problem !== null) return;
              onChosen();
              void generation.enlarge(job, mode);
            }}
          >
            <span class="choice-title">{title}</span>
            <span class="choices-note">{problem ?? words}</span>
          </button>
        );
      })}
    </fieldset>
  );
}
