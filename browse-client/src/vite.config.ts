// Builds the dashboard into build/. All files but the index page and the icon are below /assets, with a hash of their
// content in their names: han-server caches these immutably.

import babel from "@rolldown/plugin-babel";
import { defineConfig } from "vite";

const server = process.env.HAN_URL ?? "http://127.0.0.1:8787";

/** The server accepts requests with its cookie from its own origin only. */
const proxy = { target: server, headers: { origin: new URL(server).origin } };

export default defineConfig({
  root: import.meta.dirname,
  plugins: [babel({ include: /\/src\/.*\.tsx?$/, plugins: [["relay", { eagerEsModules: true }]] })],
  build: {
    outDir: "../build",
    emptyOutDir: true,
    target: "es2024",
    // Inlined files would be `data:` URLs, which the policy forbids.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // Says which scripts each page loads. pack.ts reads it.
    manifest: true,
    // Bytes before compression. pack.ts limits the compressed size of what each page loads.
    chunkSizeWarningLimit: 1_000,
    rolldownOptions: {
      checks: { pluginTimings: false },
      onLog(level, log, handle) {
        // "use client" has a meaning for servers that render React only.
        if (log.code !== "MODULE_LEVEL_DIRECTIVE") handle(level, log);
      },
      output: {
        entryFileNames: "assets/[name]-[hash].js",
        chunkFileNames: "assets/[name]-[hash].js",
        assetFileNames: "assets/[name]-[hash][extname]",
      },
    },
  },
  // The same host as the server's, so that the browser sends its cookie here, too.
  server: {
    host: new URL(server).hostname,
    proxy: { "/graphql": { ...proxy, ws: true }, "/health": proxy, "/auth": proxy },
  },
});
