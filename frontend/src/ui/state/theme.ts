/** The theme: light or dark, as the system has it until the user says otherwise. */
import { computed, effect, signal } from "@preact/signals";

export type Theme = "light" | "dark";

/** The site's pages keep the same key: "light", "dark", or nothing for the system's. */
const KEY = "theme";

export type ThemeStore = ReturnType<typeof createThemeStore>;

export function createThemeStore() {
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const systemTheme = signal<Theme>(system.matches ? "dark" : "light");
  const chosen = signal<Theme | null>(readKept());
  const theme = computed<Theme>(() => chosen.value ?? systemTheme.value);

  const follow = (): void => {
    systemTheme.value = system.matches ? "dark" : "light";
  };
  system.addEventListener("change", follow);
  const stop = effect(() => {
    const root = document.documentElement;
    if (chosen.value === null) delete root.dataset.theme;
    else root.dataset.theme = chosen.value;
  });

  return {
    theme,
    toggle(): void {
      const next: Theme = theme.peek() === "dark" ? "light" : "dark";
      // Back at the system's own theme, follow it again.
      chosen.value = next === systemTheme.peek() ? null : next;
      keep(chosen.peek());
    },
    dispose(): void {
      stop();
      system.removeEventListener("change", follow);
    },
  };
}

function readKept(): Theme | null {
  try {
    const kept = localStorage.getItem(KEY);
    return kept === "light" || kept === "dark" ? kept : null;
  } catch {
    return null;
  }
}

function keep(theme: Theme | null): void {
  try {
    if (theme === null) localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
  } catch {
    // Storage is forbidden: the choice holds until the page is left.
  }
}
