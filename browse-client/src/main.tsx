// The dashboard's entry: styles, theme, keyboard, environment, and the application.

import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/ui.css";
import "./styles/shell.css";

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { RelayEnvironmentProvider } from "react-relay";
import { BrowserRouter } from "react-router";

import { App } from "./app/App.tsx";
import { createEnvironment } from "./app/environment.ts";
import { listenToKeyboard } from "./app/keyboard.ts";
import { loadOtherPages } from "./app/pages.ts";
import { askServer } from "./app/server.ts";
import { applyTheme, followOtherTabs } from "./app/theme.ts";

applyTheme();
followOtherTabs();
listenToKeyboard();
void askServer();
loadOtherPages();

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <RelayEnvironmentProvider environment={createEnvironment()}>
        <BrowserRouter>
          <App />
        </BrowserRouter>
      </RelayEnvironmentProvider>
    </StrictMode>,
  );
}
