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

// The page loads the scripts that it names, and those that they import. Vite names both in the page.
const page = built.get("index.html")?.toString() ?? "";
const initial = [...page.matchAll(/(?:src|href)="\/([^"]+\.js)"/g)].map(([, name]) => name ?? "");
const size = initial.reduce((sum, name) => sum + compress(built.get(name) ?? Buffer.alloc(0)).length, 0);
if (initial.length === 0 || size > INITIAL_LIMIT) {
  console.error(
    `error: a page loads ${initial.length} scripts of ${size} bytes at first; at most ${INITIAL_LIMIT}`,
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
console.log(`initial scripts: ${size} bytes of gzip, at most ${INITIAL_LIMIT}`);
