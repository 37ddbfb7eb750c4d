// The Search page: where was that? Messages that contain the words of the query, grouped by session.

import "../styles/sessions.css";
import "../styles/search.css";

import { Suspense, useDeferredValue, useMemo } from "react";
import { useSearchParams } from "react-router";
import { ErrorBoundary } from "../app/ErrorBoundary.tsx";
import { useTitle } from "../app/title.ts";
import { FilterBar } from "../sessions/FilterBar.tsx";
import { type Filters, readFilters, startOf } from "../sessions/filters.ts";
import { Empty } from "../ui/Empty.tsx";
import type { SearchFilter } from "./__generated__/SearchResultsQuery.graphql.ts";
import { ResultsSkeleton, SearchResults } from "./SearchResults.tsx";

/** The server limits searches to one project or repository, one person, and a period. */
const FILTERS = ["person", "project", "repo", "since", "until"] as const;

export default function SearchPage() {
  const [params] = useSearchParams();
  const search = params.toString();
  const shown = useDeferredValue(search);
  const query = params.get("q")?.trim() ?? "";
  useTitle(query ? `${query} · Search` : "Search");
  return (
    <div className="sessions" data-pending={shown !== search || undefined}>
      <h1 className="visually-hidden">Search</h1>
      <FilterBar names={FILTERS} withText={false} />
      {query ? (
        <ErrorBoundary key={shown} what="The results">
          <Suspense fallback={<ResultsSkeleton />}>
            <Found search={shown} />
          </Suspense>
        </ErrorBoundary>
      ) : (
        <HowToSearch />
      )}
    </div>
  );
}

function filterOf(filters: Filters): SearchFilter {
  const since = filters.since && startOf(filters.since);
  const until = filters.until && startOf(filters.until, 1);
  const project = filters.project ?? filters.repo;
  return {
    ...(filters.person && { userId: filters.person }),
    ...(project && { projectId: project }),
    ...(since && { since: since.toISOString() }),
    ...(until && { until: until.toISOString() }),
  };
}

function Found({ search }: { search: string }) {
  const params = useMemo(() => new URLSearchParams(search), [search]);
  const text = params.get("q")?.trim() ?? "";
  const filter = useMemo(() => filterOf(readFilters(params)), [params]);
  return <SearchResults key={search} text={text} filter={filter} />;
}

function HowToSearch() {
  return (
    <Empty title="Search the messages of all sessions">
      <p>
        Type words into the field above (<kbd>/</kbd>) and press <kbd>Enter</kbd>. Prompts, answers, thinking,
        and the inputs and results of tools are searched.
      </p>
      <dl className="syntax">
        <dt>
          <code>migration lock</code>
        </dt>
        <dd>messages that contain both words</dd>
        <dt>
          <code>"deadlock detected"</code>
        </dt>
        <dd>messages that contain the words in this order</dd>
        <dt>
          <code>snake_case</code>
        </dt>
        <dd>the same as "snake case"</dd>
      </dl>
      <p>Whole words match, in any case and with or without accents.</p>
    </Empty>
  );
}
