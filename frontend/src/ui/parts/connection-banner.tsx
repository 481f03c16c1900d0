/** The banner for a lost connection; it goes away by itself. */
import { useEffect, useState } from "preact/hooks";
import { useStudio } from "../studio";

/** Chosen: a connection that is back sooner was never missed. */
const PATIENCE_MS = 1500;

export function ConnectionBanner() {
  const { generation } = useStudio();
  const connection = generation.connection.value;
  const lost = connection === "offline";
  const [shown, setShown] = useState(false);
  useEffect(() => {
    if (!lost) {
      setShown(false);
      return;
    }
    const timer = setTimeout(() => setShown(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [lost]);

  return (
    <div role="status">
      {connection === "signed-out" ? (
        <p class="banner" data-testid="connection-banner">
          You are signed out. Your drawing is kept on this device.{" "}
          <a href="/accounts/login/?next=/app">Sign in again</a>
        </p>
      ) : (
        lost &&
        shown && (
          <p class="banner" data-testid="connection-banner">
            Connection lost, trying again. Go on drawing: nothing is lost, and images under way go on.
          </p>
        )
      )}
    </div>
  );
}
