/** The studio: its stores, its connections, and everything that runs while the page is open. */
import { effect, signal } from "@preact/signals";
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import { createApi } from "../net/api";
import { EventSocket } from "../net/event-socket";
import type { Boot } from "../net/read-job";
import { blobToBase64, exportSketch } from "./canvas/export-sketch";
import { type Command, commandFor, isTyping } from "./keyboard";
import { keepDrawing, recallDrawing } from "./state/drawing-keeper";
import { createDrawingStore } from "./state/drawing-store";
import { createGenerationStore } from "./state/generation-store";
import { recall, remember } from "./state/preferences";
import { createThemeStore } from "./state/theme";

export type Studio = ReturnType<typeof createStudio>;

const StudioContext = createContext<Studio | null>(null);
export const StudioProvider = StudioContext.Provider;

export function useStudio(): Studio {
  const studio = useContext(StudioContext);
  if (studio === null) throw new Error("useStudio outside of the studio");
  return studio;
}

const COMPACT = "(max-width: 760px), (max-aspect-ratio: 9/10)";

export function createStudio(boot: Boot) {
  const drawing = createDrawingStore();
  const theme = createThemeStore();
  const settingsKey = `llamasketch.settings.${boot.email}`;
  const sentKey = `llamasketch.sent.${boot.email}`;
  const generation = createGenerationStore({
    api: createApi({
      origin: location.origin,
      fetch: (request) => fetch(request),
      csrfToken,
      wait: (duration_ms) => new Promise((resolve) => setTimeout(resolve, duration_ms)),
    }),
    config: boot.config,
    document: drawing.document,
    hash: drawing.hash,
    encode: async (document_, size) => blobToBase64(await exportSketch(document_, size)),
    toBase64: blobToBase64,
    remembered: recall(settingsKey),
    rememberedSent: recall(sentKey),
    random: Math.random,
    newKey: () => crypto.randomUUID(),
  });
  const shortcutsOpen = signal(false);
  const compact = signal(false);

  const abort = new AbortController();
  const { signal: ended } = abort;
  const media = window.matchMedia(COMPACT);
  const measure = (): void => {
    compact.value = media.matches;
  };
  measure();
  media.addEventListener("change", measure, { signal: ended });

  const socket = new EventSocket({
    url: `${location.origin.replace(/^http/, "ws")}/ws/events/`,
    seen: generation.seen,
    onMessage: (message) => generation.receive(message),
    onConnection: (connection) => {
      generation.connection.value = connection;
    },
  });
  window.addEventListener("online", () => socket.reconnect(), { signal: ended });
  window.addEventListener(
    "offline",
    () => {
      generation.connection.value = "offline";
    },
    { signal: ended },
  );

  const stops = [
    effect(() => remember(settingsKey, generation.settings.value)),
    effect(() => {
      if (generation.lastSent.value !== null) remember(sentKey, generation.lastSent.value);
    }),
    effect(() => {
      if (generation.connection.value !== "online") return;
      generation.mendOlder();
      void generation.refreshOffered();
    }),
    effect(() => {
      const { width, height } = generation.settings.value;
      drawing.setPaper({ width, height });
    }),
    effect(() => {
      // The explanation has served its purpose once there is something to see.
      if (!drawing.empty.value) generation.dismissEmptyNote();
    }),
  ];
  let stopKeeping: (() => void) | null = null;
  void recallDrawing(boot.email).then((kept) => {
    if (ended.aborted) return;
    if (kept !== null && drawing.document.peek().strokes.length === 0) drawing.restore(kept);
    drawing.setPaper(generation.settings.peek());
    stopKeeping = keepDrawing(boot.email, drawing.document);
  });

  const actions: Readonly<Record<Command, () => void>> = {
    generate: () => void generation.generate(),
    cancel: () => void generation.cancel(),
    brush: () => drawing.choose("brush"),
    eraser: () => drawing.choose("eraser"),
    thinner: () => drawing.stepWidth(-1),
    thicker: () => drawing.stepWidth(1),
    undo: () => drawing.undo(),
    redo: () => drawing.redo(),
    fit: () => drawing.showAll(),
    shortcuts: () => {
      shortcutsOpen.value = true;
    },
  };
  const run = (command: Command): void => actions[command]();
  window.addEventListener(
    "keydown",
    (event) => {
      // An open dialog or menu has the keys to itself.
      if (event.defaultPrevented || document.querySelector("dialog[open], [data-menu-open]") !== null) return;
      const command = commandFor(event, isTyping(event.target));
      if (command === null) return;
      if (command !== "cancel") event.preventDefault();
      run(command);
    },
    { signal: ended },
  );

  return {
    boot,
    drawing,
    generation,
    theme,
    compact,
    shortcutsOpen,
    run,
    dispose(): void {
      abort.abort();
      for (const stop of stops) stop();
      stopKeeping?.();
      socket.dispose();
      theme.dispose();
    },
  };
}

export function csrfToken(): string {
  const found = /(?:^|;\s*)csrftoken=([^;]*)/.exec(document.cookie);
  return decodeURIComponent(found?.[1] ?? "");
}
