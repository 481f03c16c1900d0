/** The studio's page: bar, tools, drawing, result, composer, history. */
import { Composer } from "./parts/composer";
import { ConnectionBanner } from "./parts/connection-banner";
import { DrawingPane } from "./parts/drawing-pane";
import { HistoryStrip } from "./parts/history-strip";
import { ResultPane } from "./parts/result-pane";
import { ShortcutsDialog } from "./parts/shortcuts-dialog";
import { Toolbox } from "./parts/toolbox";
import { TopBar } from "./parts/top-bar";
import { type Studio, StudioProvider } from "./studio";

export function App({ studio }: { readonly studio: Studio }) {
  return (
    <StudioProvider value={studio}>
      <TopBar />
      <ConnectionBanner />
      <main class="studio">
        <Toolbox />
        <DrawingPane />
        <ResultPane />
        <HistoryStrip />
        <Composer />
      </main>
      <ShortcutsDialog />
    </StudioProvider>
  );
}
