// The files that a session changed, as a tree. Pure.

export type Change = {
  id: string;
  filePath: string;
  action: string;
  toolName: string;
  linesAdded: number;
  linesRemoved: number;
  recordedAt: string;
};

export type File = { path: string; name: string; added: number; removed: number; changes: readonly Change[] };

export type Folder = {
  name: string;
  path: string;
  folders: readonly Folder[];
  files: readonly File[];
  added: number;
  removed: number;
};

/** The message and the number within it of a file change: `FileChange:<session>~<transcript>~<number>~<uuid>`. */
export function messageOf(change: string): { message: string; at: number } | null {
  const [, session, transcript, n, uuid] = /^FileChange:([^~]+)~([^~]+)~(\d+)~([^~]+)$/.exec(change) ?? [];
  if (!session || !transcript || !n || !uuid) return null;
  return { message: `Message:${session}~${transcript}~${uuid}`, at: Number(n) };
}

type Making = { folders: Map<string, Making>; files: Map<string, Change[]> };

const making = (): Making => ({ folders: new Map(), files: new Map() });

/** The tree of changed files. `changes` are in the order of time. Folders with one folder are joined. */
export function treeOf(changes: readonly Change[]): Folder {
  const root = making();
  for (const change of changes) {
    const steps = change.filePath.split("/").filter((step) => step !== "");
    const name = steps.pop() ?? change.filePath;
    let at = root;
    for (const step of steps) {
      const next = at.folders.get(step) ?? making();
      at.folders.set(step, next);
      at = next;
    }
    const file = at.files.get(name);
    if (file) file.push(change);
    else at.files.set(name, [change]);
  }
  return finished("", "", root);
}

const byName = (a: { name: string }, b: { name: string }) => a.name.localeCompare(b.name, "en");

function finished(name: string, path: string, made: Making): Folder {
  const [only] = made.folders;
  if (only && made.folders.size === 1 && made.files.size === 0) {
    const [step, inside] = only;
    return finished(name === "" ? `/${step}` : `${name}/${step}`, `${path}/${step}`, inside);
  }
  const folders = [...made.folders]
    .map(([step, inside]) => finished(step, `${path}/${step}`, inside))
    .sort(byName);
  const files = [...made.files]
    .map(([file, changes]) => ({
      name: file,
      path: changes[0]?.filePath ?? file,
      changes,
      added: changes.reduce((sum, change) => sum + change.linesAdded, 0),
      removed: changes.reduce((sum, change) => sum + change.linesRemoved, 0),
    }))
    .sort(byName);
  const parts = [...folders, ...files];
  return {
    name,
    path,
    folders,
    files,
    added: parts.reduce((sum, part) => sum + part.added, 0),
    removed: parts.reduce((sum, part) => sum + part.removed, 0),
  };
}

/** All files of a tree, in its order. */
export function filesOf(folder: Folder): File[] {
  return [...folder.folders.flatMap(filesOf), ...folder.files];
}
