/** The bar at the top: name, usage, theme, shortcuts, account. */
import { Keyboard, LogOut, Moon, Sun } from "lucide";
import mark from "../../site/assets/mark.svg";
import { csrfToken, useStudio } from "../studio";
import { Icon } from "./icon";
import { IconButton } from "./icon-button";
import { Menu } from "./menu";
import { UsageMeter } from "./usage-meter";

export function TopBar() {
  const { boot, theme, compact, run } = useStudio();
  const dark = theme.theme.value === "dark";
  return (
    <header class="top-bar">
      <a class="brand" href="/" aria-label="LlamaSketch, to the front page">
        <img src={mark} width={26} height={26} alt="" />
        <h1 class="brand-name">LlamaSketch</h1>
      </a>
      {boot.config.gpu === "simulated" && (
        <span
          class="badge"
          data-tone="warn"
          data-testid="simulated"
          title="Images are computed without a GPU, to try the studio out"
        >
          Simulated, no GPU
        </span>
      )}
      <span class="top-bar-space" />
      <UsageMeter />
      {!compact.value && (
        <IconButton
          node={Keyboard}
          label="Keyboard shortcuts"
          shortcut="?"
          testId="shortcuts"
          onPress={() => run("shortcuts")}
        />
      )}
      <IconButton
        node={dark ? Sun : Moon}
        label={dark ? "Use the light theme" : "Use the dark theme"}
        testId="theme-switch"
        onPress={() => theme.toggle()}
      />
      <Menu
        label="Account"
        side="below"
        testId="account-menu"
        class="account-button"
        button={<span aria-hidden="true">{boot.email.slice(0, 1).toUpperCase()}</span>}
      >
        {() => <AccountSheet email={boot.email} isStaff={boot.is_staff} />}
      </Menu>
    </header>
  );
}

function AccountSheet({ email, isStaff }: { readonly email: string; readonly isStaff: boolean }) {
  return (
    <div class="account-sheet">
      <p class="account-email">{email}</p>
      <a class="menu-item" href="/account/tokens">
        API tokens
      </a>
      <a class="menu-item" href="/accounts/password/change/">
        Change password
      </a>
      {isStaff && (
        <a class="menu-item" href="/admin/">
          Administration
        </a>
      )}
      <form method="post" action="/accounts/logout/">
        <input type="hidden" name="csrfmiddlewaretoken" value={csrfToken()} />
        <button type="submit" class="menu-item" data-testid="log-out">
          <Icon node={LogOut} size={16} />
          Log out
        </button>
      </form>
    </div>
  );
}
