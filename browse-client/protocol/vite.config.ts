// Builds the protocol page. Its files are spread over two directories: han-server caches those below `assets` immutably,
// and recognises names with a content hash elsewhere.

import babel from "@rolldown/plugin-babel";
import { defineConfig } from "vite";

export default defineConfig({
  root: import.meta.dirname,
  plugins: [babel({ include: /\/protocol\/.*\.tsx$/, plugins: [["relay", { eagerEsModules: true }]] })],
  build: {
    outDir: "dist",
    emptyOutDir: true,
    rolldownOptions: {
      checks: { pluginTimings: false },
      output: {
        entryFileNames: "static/js/[name]-[hash].js",
        chunkFileNames: "assets/[name]-[hash].js",
        assetFileNames: "static/[name]-[hash][extname]",
      },
    },
  },
});
