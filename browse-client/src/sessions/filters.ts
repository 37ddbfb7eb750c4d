// The filters of the Sessions and Search pages. They are in the URL; empty ones are left out.

import type { SessionFilter } from "./__generated__/SessionsPageQuery.graphql.ts";

/** The names of the parameters, in the order of their chips. */
export const FILTERS = ["person", "project", "repo", "branch", "model", "agent", "since", "until"] as const;

export type FilterName = (typeof FILTERS)[number];

export type Filters = { [name in FilterName | "q"]?: string };

export const FILTER_LABELS: Record<FilterName, string> = {
  person: "Person",
  project: "Project",
  repo: "Repository",
  branch: "Branch",
  model: "Model",
  agent: "Agent",
  since: "From",
  until: "Until",
};

/** Reads the filters of a URL; values that cannot be used are left out. */
export function readFilters(params: URLSearchParams): Filters {
  const filters: Filters = {};
  for (const name of [...FILTERS, "q"] as const) {
    const value = params.get(name)?.trim();
    if (!value) continue;
    if ((name === "since" || name === "until") && !startOf(value)) continue;
    filters[name] = value;
  }
  return filters;
}

/** Whether any filter is set. */
export function hasFilters(filters: Filters): boolean {
  return Object.keys(filters).length > 0;
}

/** The years of which the server accepts times, with a year's distance. */
const FIRST_YEAR = 1971;
const LAST_YEAR = 9998;

/** The beginning of a day `2026-11-26` in the browser's time zone, `days` later; null if there is no such day. */
export function startOf(day: string, days = 0): Date | null {
  const [, year, month, date] = (/^(\d{4})-(\d\d)-(\d\d)$/.exec(day) ?? []).map(Number);
  if (!year || !month || !date || year < FIRST_YEAR || year > LAST_YEAR) return null;
  const start = new Date(year, month - 1, date);
  // `Date` takes the 31st of February for a day in March.
  if (start.getMonth() !== month - 1 || start.getDate() !== date) return null;
  start.setDate(date + days);
  return start;
}

/** What the server filters by. */
export function serverFilter(filters: Filters): SessionFilter | null {
  const parts: SessionFilter[] = [];
  if (filters.person) parts.push({ ownerId: { _eq: filters.person } });
  if (filters.project) parts.push({ projectId: { _eq: filters.project } });
  if (filters.repo) parts.push({ project: { repoId: { _eq: filters.repo } } });
  if (filters.model) parts.push({ model: { _eq: filters.model } });
  const since = filters.since && startOf(filters.since);
  if (since) parts.push({ updatedAt: { _gte: since.toISOString() } });
  const until = filters.until && startOf(filters.until, 1);
  if (until) parts.push({ startedAt: { _lt: until.toISOString() } });
  return parts.length > 0 ? { _and: parts } : null;
}

/** What is sealed on the server, so that only the page can compare it. */
export type Shown = {
  readonly name: string;
  readonly summary: string | null | undefined;
  readonly projectName: string;
  readonly gitBranch: string | null | undefined;
  readonly harness: string;
  readonly owner: { readonly name: string | null | undefined } | null | undefined;
};

/** Whether some filter is compared by the page. */
export function hasPageFilters(filters: Filters): boolean {
  return Boolean(filters.branch || filters.agent || filters.q);
}

/** Whether a session meets the filters that the page compares. */
export function meets(session: Shown, filters: Filters): boolean {
  if (filters.branch && session.gitBranch !== filters.branch) return false;
  if (filters.agent && session.harness !== filters.agent) return false;
  if (!filters.q) return true;
  const text = [session.name, session.summary, session.projectName, session.gitBranch, session.owner?.name]
    .join("\n")
    .toLocaleLowerCase();
  return filters.q
    .toLocaleLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}
