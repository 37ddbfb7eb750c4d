// The Sessions page: who works on what now, and what was worked on before.

import "../styles/sessions.css";

import { Suspense, useDeferredValue, useMemo } from "react";
import { graphql, useLazyLoadQuery } from "react-relay";
import { useNavigationType, useSearchParams } from "react-router";

import { useFetchKey } from "../app/ErrorBoundary.tsx";
import { useFetchPolicy } from "../app/fetchPolicy.ts";
import { useTitle } from "../app/title.ts";
import type { SessionsPageQuery } from "./__generated__/SessionsPageQuery.graphql.ts";
import { FilterBar } from "./FilterBar.tsx";
import { hasPageFilters, readFilters, serverFilter } from "./filters.ts";
import { SessionList } from "./SessionList.tsx";
import { ListSkeleton } from "./SessionRow.tsx";

/** The number of rows of a page, and of one whose rows the page itself filters. */
const ROWS = 50;
const ROWS_TO_FILTER = 200;

export default function SessionsPage() {
  useTitle("Sessions");
  const [params] = useSearchParams();
  const search = params.toString();
  // The rows of the previous filters stay, dimmed, until those of the next ones are there.
  const shown = useDeferredValue(search);
  return (
    <div className="sessions" data-pending={shown !== search || undefined}>
      <h1 className="visually-hidden">Sessions</h1>
      <FilterBar />
      <Suspense fallback={<ListSkeleton />}>
        <Sessions search={shown} />
      </Suspense>
    </div>
  );
}

function Sessions({ search }: { search: string }) {
  const filters = useMemo(() => readFilters(new URLSearchParams(search)), [search]);
  const filter = useMemo(() => serverFilter(filters), [filters]);
  const rows = hasPageFilters(filters) ? ROWS_TO_FILTER : ROWS;
  // After "back", the list is as it was left: all its rows, in their order. SessionList brings the values up to date.
  const isBack = useNavigationType() === "POP";
  const policy = useFetchPolicy(search);
  const query = useLazyLoadQuery<SessionsPageQuery>(
    graphql`
      query SessionsPageQuery($first: Int!, $filter: SessionFilter) {
        ...SessionList_query @arguments(first: $first, filter: $filter)
      }
    `,
    { first: rows, filter },
    { fetchKey: useFetchKey(), fetchPolicy: isBack ? "store-or-network" : policy },
  );
  return <SessionList key={search} query={query} filters={filters} filter={filter} rows={rows} />;
}
