/** The usage meter: images made today, of how many. */
import { useStudio } from "../studio";

export function UsageMeter() {
  const { generation } = useStudio();
  const usage = generation.usage.value;
  if (usage === null) return null;
  const { used_today, limit, remaining } = usage;
  if (limit === null) {
    return (
      <p class="usage" data-testid="usage">
        {used_today} today
      </p>
    );
  }
  const resets = new Date(usage.resets_at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return (
    <p
      class="usage"
      data-testid="usage"
      data-low={remaining !== null && remaining * 10 <= limit}
      title={`Starts again at ${resets}`}
    >
      <span>
        {used_today} of {limit}
        <span class="usage-word"> today</span>
      </span>
      <meter
        class="usage-meter"
        min={0}
        max={Math.max(limit, 1)}
        value={Math.min(used_today, limit)}
        aria-label="Images made today"
      />
    </p>
  );
}
