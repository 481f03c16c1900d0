/** The studio's entry: reads what the page brings along and starts. */
import "./styles/tokens.css";
import "./styles/base.css";
import "./ui/styles/layout.css";
import "./ui/styles/panes.css";
import "./ui/styles/controls.css";
import "./ui/styles/choices.css";
import "./ui/styles/composer.css";
import { h, render } from "preact";
import { readBoot } from "./net/read-job";
import { App } from "./ui/app";
import { createStudio } from "./ui/studio";

const root = document.getElementById("studio");
const boot = document.getElementById("boot")?.textContent;
if (root === null || boot === undefined || boot === null) throw new Error("The page lacks #studio or #boot.");

const studio = createStudio(readBoot(JSON.parse(boot), "boot"));
render(h(App, { studio }), root);

// The page is left for good; one that is only put aside goes on when it is shown again.
window.addEventListener("pagehide", (event) => {
  if (!event.persisted) studio.dispose();
});
