/** The choice of how many variations to make of an image. */

import type { Job } from "../../core/job";
import { countProblem, VARIATION_COUNTS, variationsProblem } from "../../core/variations";
import { useStudio } from "../studio";

type VariationChoicesProps = { readonly job: Job; readonly onChosen: () => void };

export function VariationChoices({ job, onChosen }: VariationChoicesProps) {
  const { generation } = useStudio();
  const problem = variationsProblem(job);
  const problems = VARIATION_COUNTS.map(
    (count) => problem ?? countProblem(count, generation.usage.value, generation.config),
  );
  const reason = problems.find((each) => each !== null);
  return (
    <fieldset class="choices" aria-describedby="variations-note">
      <legend class="choices-title">Variations</legend>
      <div class="counts">
        {VARIATION_COUNTS.map((count, index) => (
          <button
            key={count}
            type="button"
            class="button-quiet"
            data-size="small"
            data-testid={`vary-${count}`}
            aria-label={`${count} variations`}
            aria-disabled={problems[index] !== null}
            onClick={() => {
              if (problems[index] !== null) return;
              onChosen();
              void generation.vary(job, count);
            }}
          >
            {count}
          </button>
        ))}
      </div>
      <p class="choices-note" id="variations-note">
        {reason ?? "Same drawing and settings, a new try each"}
      </p>
    </fieldset>
  );
}
