// The files that the session changed: a tree with the lines of each, and every edit of a file in its order.

import { useMemo, useState } from "react";
import { graphql, useRelayEnvironment } from "react-relay";
import { Link, useSearchParams } from "react-router";

import { messagePath } from "../messages/messageId.ts";
import { Badge } from "../ui/Badge.tsx";
import { Button } from "../ui/Button.tsx";
import { visible } from "../ui/bidi.ts";
import { Empty } from "../ui/Empty.tsx";
import { ErrorState } from "../ui/ErrorState.tsx";
import { fullTime, number, time } from "../ui/format.ts";
import { Loading, Skeleton } from "../ui/Skeleton.tsx";
import type { FilesTabQuery$rawResponse } from "./__generated__/FilesTabQuery.graphql.ts";
import { useDetail } from "./details.ts";
import { editsOf } from "./diff.ts";
import { type Change, type File, type Folder, filesOf, messageOf, treeOf } from "./files.ts";
import { useOneAtATime } from "./oneAtATime.ts";
import { ask } from "./operations.ts";
import { Failed } from "./Rows.tsx";
import { Difference } from "./Text.tsx";

const query = graphql`
  query FilesTabQuery($id: String!, $after: String) @raw_response_type {
    session(id: $id) {
      id
      fileChanges(first: 500, after: $after) {
        totalCount
        pageInfo {
          hasNextPage
          endCursor
        }
        edges {
          node {
            id
            filePath
            action
            toolName
            linesAdded
            linesRemoved
            recordedAt
          }
        }
      }
    }
  }
`;

/** How many changes are loaded before the user is asked. */
const MAX_CHANGES = 2_000;

/** How many edits of a file are shown at first. */
const SHOWN_EDITS = 20;

type Page = NonNullable<FilesTabQuery$rawResponse["session"]>["fileChanges"];

/** The changes of a session, oldest first; `isWhole` is false if the oldest are missing. */
async function load(environment: ReturnType<typeof useRelayEnvironment>, id: string) {
  const changes: Change[] = [];
  let after: string | null = null;
  let total = 0;
  for (;;) {
    const found: FilesTabQuery$rawResponse = await ask(environment, query, { id, after });
    const page: Page | undefined = found.session?.fileChanges;
    if (!page) break;
    const { edges, pageInfo, totalCount } = page;
    total = totalCount;
    for (const { node } of edges) changes.push(node);
    if (!pageInfo.hasNextPage || changes.length >= MAX_CHANGES) break;
    after = pageInfo.endCursor ?? null;
  }
  return { changes: changes.reverse(), total };
}

export default function FilesTab({ session, revision }: { session: string; revision: number }) {
  const environment = useRelayEnvironment();
  const [params, setParams] = useSearchParams();
  const [found, setFound] = useState<{ changes: readonly Change[]; total: number } | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [attempt, setAttempt] = useState(0);
  useOneAtATime(async () => {
    try {
      setFound(await load(environment, session));
      setError(null);
    } catch (failure) {
      setError(failure);
    }
  }, [revision, attempt]);
  const tree = useMemo(() => treeOf(found?.changes ?? []), [found]);
  const files = useMemo(() => filesOf(tree), [tree]);

  if (error && !found)
    return <ErrorState what="The files" error={error} onRetry={() => setAttempt(attempt + 1)} />;
  if (!found) {
    return (
      <div className="tab-loading">
        <Loading what="the files" />
        {["60%", "45%", "52%", "40%"].map((width) => (
          <Skeleton key={width} width={width} height="20px" />
        ))}
      </div>
    );
  }
  if (files.length === 0) {
    return (
      <Empty title="No files changed">
        <p>
          Edits that the agent makes with its file tools appear here. Changes by shell commands are not
          recorded.
        </p>
      </Empty>
    );
  }
  const wanted = params.get("path");
  const file = files.find(({ path }) => path === wanted) ?? files[0];
  const open = (path: string) => {
    setParams((before) => {
      const after = new URLSearchParams(before);
      after.set("path", path);
      return after;
    });
  };
  return (
    <div className="files">
      <nav className="file-tree" aria-label="Changed files">
        <p className="file-total">
          {number(files.length)} {files.length === 1 ? "file" : "files"} <Lines of={tree} />
        </p>
        {found.changes.length < found.total && (
          <p className="file-partial">
            The latest {number(found.changes.length)} of {number(found.total)} changes.
          </p>
        )}
        <FolderView folder={tree} isRoot selected={file?.path ?? null} onOpen={open} />
      </nav>
      {file && <FileView key={file.path} file={file} />}
    </div>
  );
}

function Lines({ of }: { of: { added: number; removed: number } }) {
  return (
    <span className="entry-changes">
      <span className="added">+{number(of.added)}</span>{" "}
      <span className="removed">−{number(of.removed)}</span>
    </span>
  );
}

function FolderView({
  folder,
  isRoot = false,
  selected,
  onOpen,
}: {
  folder: Folder;
  isRoot?: boolean;
  selected: string | null;
  onOpen: (path: string) => void;
}) {
  const content = (
    <ul>
      {folder.folders.map((inside) => (
        <li key={inside.path}>
          <FolderView folder={inside} selected={selected} onOpen={onOpen} />
        </li>
      ))}
      {folder.files.map((file) => (
        <li key={file.path}>
          <button
            type="button"
            className="file-entry"
            aria-current={file.path === selected ? "true" : undefined}
            title={file.path}
            onClick={() => onOpen(file.path)}
          >
            <span className="truncate">{visible(file.name)}</span>
            <Lines of={file} />
          </button>
        </li>
      ))}
    </ul>
  );
  if (isRoot && folder.name === "") return content;
  return (
    <details open>
      <summary title={folder.path}>
        <span className="truncate">{visible(folder.name)}</span>
      </summary>
      {content}
    </details>
  );
}

function FileView({ file }: { file: File }) {
  const [shown, setShown] = useState(SHOWN_EDITS);
  return (
    <section className="file" aria-label={file.path}>
      <header className="file-head">
        <code className="truncate" title={file.path}>
          {visible(file.path)}
        </code>
        <Lines of={file} />
      </header>
      {file.changes.slice(0, shown).map((change) => (
        <EditView key={change.id} change={change} />
      ))}
      {file.changes.length > shown && (
        <Button onPress={() => setShown(shown + SHOWN_EDITS)}>
          Show more of {number(file.changes.length)} edits
        </Button>
      )}
    </section>
  );
}

const EDITS = new Set(["Write", "Edit", "MultiEdit", "NotebookEdit"]);

function EditView({ change }: { change: Change }) {
  const place = messageOf(change.id);
  const { value, error, isLoading, retry } = useDetail(place?.message ?? "", change.id, place !== null);
  // The number of a change counts the tool uses of its line that edit a file.
  const { edits, parts } = useMemo(() => {
    const described = (value?.contentBlocks ?? []).flatMap(({ input, hunks: parts }) => {
      const edits = input === undefined ? [] : editsOf(change.toolName, input);
      return edits.length > 0 ? [{ edits, parts }] : [];
    });
    return described[place?.at ?? 0] ?? described[0] ?? { edits: [], parts: null };
  }, [value, change.toolName, place?.at]);
  const height = `${Math.min(240, 24 + 20 * (change.linesAdded + change.linesRemoved))}px`;
  return (
    <article className="edit">
      <header className="edit-head">
        <span>{change.toolName}</span>
        {change.action !== "modified" && (
          <Badge tone={change.action === "created" ? "green" : "red"}>{change.action}</Badge>
        )}
        <span className="entry-changes">
          <span className="added">+{number(change.linesAdded)}</span>{" "}
          <span className="removed">−{number(change.linesRemoved)}</span>
        </span>
        {place && (
          <Link to={messagePath(place.message)} title={`In the conversation, ${fullTime(change.recordedAt)}`}>
            {time(change.recordedAt)}
          </Link>
        )}
      </header>
      {error ? <Failed what="The edit" error={error} retry={retry} /> : null}
      {isLoading && !error && <Skeleton height={height} />}
      <Difference edits={edits} parts={parts} />
      {value && edits.length === 0 && !EDITS.has(change.toolName) && (
        <p className="empty-result">The line does not contain the text of this change.</p>
      )}
    </article>
  );
}
