// The search within a session. Its words and the hit that is shown are in the URL.

import { useEffect, useEffectEvent, useState } from "react";
import { useRelayEnvironment } from "react-relay";
import { useSearchParams } from "react-router";

import { useShortcuts } from "../app/keyboard.ts";
import { number } from "../ui/format.ts";
import { ChevronIcon, CloseIcon, SearchIcon } from "../ui/icons.tsx";
import type { operationsFindQuery$rawResponse } from "./__generated__/operationsFindQuery.graphql.ts";
import { ask, findQuery } from "./operations.ts";

type Hit = { messageId: string; context: string };

/** `onShow` receives the message of a hit. */
export function Find({ session, onShow }: { session: string; onShow: (message: string) => void }) {
  const [params, setParams] = useSearchParams();
  const words = params.get("find") ?? "";
  const environment = useRelayEnvironment();
  const [typed, setTyped] = useState(words);
  const [found, setFound] = useState<{ words: string; hits: readonly Hit[]; error: string | null } | null>(
    null,
  );

  const change = useEffectEvent((next: { find: string; hit: number }) => {
    setParams(
      (before) => {
        const after = new URLSearchParams(before);
        after.delete("message");
        after.delete("find");
        after.delete("hit");
        if (next.find) {
          after.set("find", next.find);
          after.set("hit", String(next.hit));
        }
        return after;
      },
      { replace: true },
    );
  });

  useEffect(() => {
    setTyped(words);
    if (words === "") {
      setFound(null);
      return;
    }
    let isCurrent = true;
    ask<operationsFindQuery$rawResponse>(environment, findQuery, { id: session, query: words }).then(
      ({ session: result }) => {
        if (!isCurrent) return;
        const hits = (result?.searchMessages ?? []).flatMap(({ messageId, matchContext }) =>
          messageId ? [{ messageId, context: matchContext ?? "" }] : [],
        );
        setFound({ words, hits: hits.reverse(), error: null });
      },
      (error: unknown) => {
        if (isCurrent)
          setFound({ words, hits: [], error: error instanceof Error ? error.message : String(error) });
      },
    );
    return () => {
      isCurrent = false;
    };
  }, [environment, session, words]);

  const hits = found?.words === words ? found.hits : [];
  // The number may be mistyped, or of a search that had more hits.
  const wanted = Number(params.get("hit") ?? 0);
  const hit = Number.isInteger(wanted) && wanted >= 0 ? Math.max(0, Math.min(wanted, hits.length - 1)) : 0;
  const shown = hits[hit];
  const show = useEffectEvent((message: string) => onShow(message));
  useEffect(() => {
    if (shown) show(shown.messageId);
  }, [shown]);

  const step = (by: number) => {
    if (hits.length === 0) return false;
    change({ find: words, hit: (hit + by + hits.length) % hits.length });
    return true;
  };
  useShortcuts([
    {
      keys: "f",
      label: "Find in this session",
      group: "Session",
      run: () => document.getElementById("find")?.focus(),
    },
    { keys: "n", label: "Next hit", group: "Session", run: () => step(1) },
    { keys: "N", label: "Previous hit", group: "Session", run: () => step(-1) },
  ]);
  const isNew = typed.trim() !== words;
  return (
    <form
      className="find"
      role="search"
      aria-label="This session"
      onSubmit={(event) => {
        event.preventDefault();
        if (isNew) change({ find: typed.trim(), hit: 0 });
        else step(1);
      }}
    >
      <SearchIcon />
      <input
        id="find"
        value={typed}
        placeholder="Find in this session"
        aria-label="Find in this session"
        autoComplete="off"
        onChange={(event) => setTyped(event.target.value)}
        onKeyDown={(event) => {
          if (event.key !== "Escape") return;
          event.preventDefault();
          change({ find: "", hit: 0 });
          event.currentTarget.blur();
        }}
      />
      {words !== "" && found?.words === words && (
        <>
          <span className="find-count" role="status">
            {found.error ?? (hits.length === 0 ? "No hits" : `${number(hit + 1)} of ${number(hits.length)}`)}
          </span>
          <button
            type="button"
            className="icon-button find-up"
            aria-label="Previous hit"
            disabled={hits.length === 0}
            onClick={() => step(-1)}
          >
            <ChevronIcon />
          </button>
          <button
            type="button"
            className="icon-button find-down"
            aria-label="Next hit"
            disabled={hits.length === 0}
            onClick={() => step(1)}
          >
            <ChevronIcon />
          </button>
          <button
            type="button"
            className="icon-button"
            aria-label="End the search"
            onClick={() => change({ find: "", hit: 0 })}
          >
            <CloseIcon />
          </button>
        </>
      )}
    </form>
  );
}
