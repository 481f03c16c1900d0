/** The theme: light, dark, or as the system says. The studio reads and writes the same key. */
export type Theme = "light" | "dark" | "system";

const KEY = "theme";

/** Read what the person chose; storage that is closed to us means "system". */
export function themeRead(): Theme {
  try {
    const stored = localStorage.getItem(KEY);
    return stored === "light" || stored === "dark" ? stored : "system";
  } catch {
    return "system";
  }
}

export function themeShow(theme: Theme): void {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

/** Wire the switch in the footer, and follow a change made in another tab. */
export function startThemeSwitch(field: HTMLFieldSetElement): void {
  const choices = [...field.querySelectorAll<HTMLInputElement>("input[name=theme]")];
  const mark = (theme: Theme): void => {
    for (const choice of choices) choice.checked = choice.value === theme;
  };
  mark(themeRead());
  field.hidden = false;
  field.addEventListener("change", () => {
    const value = choices.find((choice) => choice.checked)?.value;
    const theme: Theme = value === "light" || value === "dark" ? value : "system";
    themeShow(theme);
    try {
      if (theme === "system") localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, theme);
    } catch {
      // Storage is closed to us: the choice holds for this page.
    }
  });
  addEventListener("storage", (event) => {
    if (event.key !== KEY && event.key !== null) return;
    themeShow(themeRead());
    mark(themeRead());
  });
}
