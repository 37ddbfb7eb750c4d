// Compresses the files of the build into the checked-in directory dist/, from which han-server embeds them, or checks
// that they are the same.
//
//   node pack.ts           replaces dist/
//   node pack.ts --check   fails if dist/ has other files, or files with other content
//
// The content is compared, not the compressed bytes: these depend on the version of zlib.

import { glob, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { constants, gunzipSync, gzipSync } from "node:zlib";

const build = resolve(import.meta.dirname, "build");
const dist = resolve(import.meta.dirname, "dist");

/** The most bytes of compressed scripts that a page loads before it shows anything. */
const INITIAL_LIMIT = 300 * 1024;

/** What Vite says about the build. It is in a hidden directory, so it does not become a part of the dashboard. */
const MANIFEST = ".vite/manifest.json";

/** The scripts by their sources; `imports` are loaded with a script, `dynamicImports` when they are needed. */
type Manifest = Record<
  string,
  { file: string; isEntry?: boolean; imports?: string[]; dynamicImports?: string[] }
>;

async function read(directory: string, unpack: (bytes: Buffer) => Buffer): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  for await (const entry of glob("**/*", { cwd: directory, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(path.slice(directory.length + 1), unpack(await readFile(path)));
  }
  return files;
}

const compress = (content: Buffer) => gzipSync(content, { level: constants.Z_BEST_COMPRESSION });
const built = await read(build, (bytes) => bytes);

const manifest = JSON.parse(await readFile(join(build, MANIFEST), "utf8")) as Manifest;

/** The scripts that are loaded with one. */
function loadedWith(source: string, found = new Set<string>()): Set<string> {
  const script = manifest[source];
  if (!script || found.has(source)) return found;
  found.add(source);
  for (const imported of script.imports ?? []) loadedWith(imported, found);
  return found;
}

// A page loads the entry and a script of its own, each with what it imports.
const entry = Object.keys(manifest).find((source) => manifest[source]?.isEntry) ?? "";
const pages = manifest[entry]?.dynamicImports ?? [];
const sizes = pages.map((page) => {
  const sources = loadedWith(page, loadedWith(entry));
  const files = [...sources].map((source) => built.get(manifest[source]?.file ?? "") ?? Buffer.alloc(0));
  return { page, size: files.reduce((sum, file) => sum + compress(file).length, 0) };
});
const tooLarge = sizes.filter(({ size }) => size > INITIAL_LIMIT);
if (sizes.length === 0 || tooLarge.length > 0) {
  const found = tooLarge.map(({ page, size }) => `${page}: ${size}`).join(", ") || "the build has no pages";
  console.error(
    `error: a page loads at most ${INITIAL_LIMIT} bytes of compressed scripts at first; ${found}`,
  );
  process.exit(1);
}

if (process.argv[2] === "--check") {
  const packed = await read(dist, gunzipSync);
  const names = new Set([...built.keys(), ...[...packed.keys()].map((name) => name.replace(/\.gz$/, ""))]);
  const different = [...names].filter((name) => {
    const [one, other] = [built.get(name), packed.get(`${name}.gz`)];
    return !one || !other || !one.equals(other);
  });
  if (different.length > 0) {
    console.error(
      `error: browse-client/dist is out of date; run script/lib/drift --write\n${different.join("\n")}`,
    );
    process.exit(1);
  }
} else {
  await rm(dist, { recursive: true, force: true });
  for (const [name, content] of built) {
    const path = join(dist, `${name}.gz`);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, compress(content));
  }
}
const shown = sizes.map(({ page, size }) => `${page} ${size}`).join(", ");
console.log(`initial scripts, bytes of gzip, at most ${INITIAL_LIMIT}: ${shown}`);
