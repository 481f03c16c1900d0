/** The failure card: what happened, whether it cost anything, what to press. */
import type { Failure } from "../../core/failure";
import { unreachable } from "../../core/never";
import { useStudio } from "../studio";

export function FailureCard({ failure }: { readonly failure: Failure }) {
  return (
    <div class="failure" role="alert" data-testid="failure">
      <h2 class="failure-title">{failure.title}</h2>
      <p>{failure.detail}</p>
      {failure.cost !== "" && <p class="failure-cost">{failure.cost}</p>}
      <FailureAction failure={failure} />
    </div>
  );
}

function FailureAction({ failure: { action } }: { readonly failure: Failure }) {
  const { generation } = useStudio();
  switch (action) {
    case "try-again":
      return (
        <button
          type="button"
          class="button"
          data-testid="try-again"
          onClick={() => void generation.tryAgain()}
        >
          Try again
        </button>
      );
    case "sign-in":
      return (
        <a class="button" href="/accounts/login/?next=/app">
          Sign in again
        </a>
      );
    case "wait": {
      const resets_at = generation.usage.value?.resets_at;
      return resets_at === undefined ? null : (
        <p class="failure-cost">
          It starts again{" "}
          {new Date(resets_at).toLocaleString([], { weekday: "long", hour: "2-digit", minute: "2-digit" })}.
          You can go on drawing until then.
        </p>
      );
    }
    default:
      return unreachable(action);
  }
}
