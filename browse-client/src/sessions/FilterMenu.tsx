// Adding a filter: first what to filter by, then its value, which can be searched for.

import { Suspense, useState } from "react";
import { Autocomplete, Input, ListBox, ListBoxItem, SearchField, useFilter } from "react-aria-components";
import { graphql, useLazyLoadQuery } from "react-relay";

import { ErrorBoundary } from "../app/ErrorBoundary.tsx";
import { Button } from "../ui/Button.tsx";
import { dayKey, serverNow } from "../ui/format.ts";
import { ChevronIcon } from "../ui/icons.tsx";
import { Loading, Skeleton } from "../ui/Skeleton.tsx";
import type { FilterMenuMembersQuery } from "./__generated__/FilterMenuMembersQuery.graphql.ts";
import type { FilterMenuModelsQuery } from "./__generated__/FilterMenuModelsQuery.graphql.ts";
import type { FilterMenuProjectsQuery } from "./__generated__/FilterMenuProjectsQuery.graphql.ts";
import type { FilterMenuSessionsQuery } from "./__generated__/FilterMenuSessionsQuery.graphql.ts";
import type { FilterMenuTeamQuery } from "./__generated__/FilterMenuTeamQuery.graphql.ts";
import { FILTER_LABELS, type FilterName } from "./filters.ts";

type Option = { id: string; label: string; detail?: string };

type Choose = (name: FilterName, value: string) => void;

export function FilterMenu({ names, onChoose }: { names: readonly FilterName[]; onChoose: Choose }) {
  const [name, setName] = useState<FilterName | null>(null);
  if (!name) {
    return (
      <ListBox
        className="list-box"
        aria-label="Filter by"
        autoFocus
        onAction={(key) => setName(key as FilterName)}
      >
        {names.map((one) => (
          <ListBoxItem key={one} id={one} textValue={FILTER_LABELS[one]}>
            <span>{FILTER_LABELS[one]}</span>
            <ChevronIcon />
          </ListBoxItem>
        ))}
      </ListBox>
    );
  }
  if (name === "since" || name === "until") {
    return <Day name={name} onChoose={(day) => onChoose(name, day)} />;
  }
  return (
    <ErrorBoundary what="The choices">
      <Suspense
        fallback={
          <div className="options-loading">
            <Loading what="the choices" />
            <Skeleton />
            <Skeleton />
            <Skeleton />
          </div>
        }
      >
        <OptionsOf name={name} onChoose={(value) => onChoose(name, value)} />
      </Suspense>
    </ErrorBoundary>
  );
}

function Day({ name, onChoose }: { name: "since" | "until"; onChoose: (day: string) => void }) {
  const [day, setDay] = useState("");
  const presets = [
    ["Today", 0],
    ["The last 7 days", 6],
    ["The last 30 days", 29],
    ["The last 90 days", 89],
  ] as const;
  return (
    <div className="day-choice">
      {name === "since" && (
        <ListBox
          className="list-box"
          aria-label="Period"
          autoFocus
          onAction={(key) => {
            const from = serverNow();
            from.setDate(from.getDate() - Number(key));
            onChoose(dayKey(from));
          }}
        >
          {presets.map(([label, days]) => (
            <ListBoxItem key={days} id={days}>
              {label}
            </ListBoxItem>
          ))}
        </ListBox>
      )}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (day) onChoose(day);
        }}
      >
        <label>
          {name === "since" ? "From the day" : "Until the day"}
          <input type="date" value={day} onChange={(event) => setDay(event.target.value)} />
        </label>
        <Button type="submit" small isDisabled={!day}>
          Apply
        </Button>
      </form>
    </div>
  );
}

type OptionsProps = { onChoose: (value: string) => void };

function OptionsOf({ name, onChoose }: OptionsProps & { name: Exclude<FilterName, "since" | "until"> }) {
  switch (name) {
    case "person":
      return <Members onChoose={onChoose} />;
    case "project":
    case "repo":
      return <Projects kind={name} onChoose={onChoose} />;
    case "model":
      return <Models onChoose={onChoose} />;
    case "branch":
    case "agent":
      return <OfSessions kind={name} onChoose={onChoose} />;
  }
}

function Options({ label, options, onChoose }: OptionsProps & { label: string; options: readonly Option[] }) {
  const { contains } = useFilter({ sensitivity: "base" });
  return (
    <Autocomplete filter={contains}>
      <SearchField className="option-search" aria-label={`Find: ${label}`} autoFocus>
        <Input placeholder={label} />
      </SearchField>
      <ListBox
        className="list-box"
        aria-label={label}
        onAction={(key) => onChoose(String(key))}
        renderEmptyState={() => <p className="no-option">There is none.</p>}
      >
        {options.map((option) => (
          <ListBoxItem key={option.id} id={option.id} textValue={`${option.label} ${option.detail ?? ""}`}>
            <span className="truncate">{option.label}</span>
            {option.detail && <span className="detail truncate">{option.detail}</span>}
          </ListBoxItem>
        ))}
      </ListBox>
    </Autocomplete>
  );
}

/** Where a directory is: what distinguishes projects of one name. */
function parentOf(path: string): string {
  const parents = path.split("/").slice(0, -1);
  return parents.length > 3 ? `…/${parents.slice(-2).join("/")}` : parents.join("/");
}

/** The raw ids and names of the team's members. */
function useMembers(): Option[] {
  const { activeTeam } = useLazyLoadQuery<FilterMenuTeamQuery>(
    graphql`
      query FilterMenuTeamQuery {
        activeTeam {
          id
        }
      }
    `,
    {},
  );
  const { teamMembers } = useLazyLoadQuery<FilterMenuMembersQuery>(
    graphql`
      query FilterMenuMembersQuery($team: ID!) {
        teamMembers(teamId: $team, first: 500) {
          user {
            id
            name
            email
          }
        }
      }
    `,
    { team: activeTeam?.id ?? "" },
  );
  return (teamMembers ?? []).map(({ user }) => ({
    id: user.id.replace(/^User:/, ""),
    label: user.name ?? user.email ?? user.id,
  }));
}

function useProjects(kind: "project" | "repo"): Option[] {
  const { projects, repos } = useLazyLoadQuery<FilterMenuProjectsQuery>(
    graphql`
      query FilterMenuProjectsQuery {
        projects(first: 500) {
          projectId
          name
          path
        }
        repos(first: 500) {
          repoId
          name
        }
      }
    `,
    {},
  );
  if (kind === "repo") return repos.map(({ repoId, name }) => ({ id: repoId, label: name }));
  return projects.map(({ projectId, name, path }) => ({
    id: projectId,
    label: name || path,
    detail: parentOf(path),
  }));
}

function Members({ onChoose }: OptionsProps) {
  return <Options label="Person" options={useMembers()} onChoose={onChoose} />;
}

function Projects({ kind, onChoose }: OptionsProps & { kind: "project" | "repo" }) {
  return <Options label={FILTER_LABELS[kind]} options={useProjects(kind)} onChoose={onChoose} />;
}

function Models({ onChoose }: OptionsProps) {
  const { activity } = useLazyLoadQuery<FilterMenuModelsQuery>(
    graphql`
      query FilterMenuModelsQuery {
        activity(days: 365) {
          modelUsage {
            model
            displayName
          }
        }
      }
    `,
    {},
  );
  const options = (activity?.modelUsage ?? []).flatMap(({ model, displayName }): Option[] => {
    if (!model) return [];
    const label = displayName ?? model;
    return [{ id: model, label, ...(label !== model && { detail: model }) }];
  });
  return <Options label="Model" options={options} onChoose={onChoose} />;
}

/** Branches and agents of the latest sessions: the server stores them sealed, and has no list of them. */
function OfSessions({ kind, onChoose }: OptionsProps & { kind: "branch" | "agent" }) {
  const { sessions } = useLazyLoadQuery<FilterMenuSessionsQuery>(
    graphql`
      query FilterMenuSessionsQuery {
        sessions(first: 500) {
          edges {
            node {
              gitBranch
              harness
            }
          }
        }
      }
    `,
    {},
  );
  const values = sessions.edges.map(({ node }) => (kind === "branch" ? node.gitBranch : node.harness));
  const options = [...new Set(values.filter((value) => value != null))].sort();
  return (
    <Options
      label={FILTER_LABELS[kind]}
      options={options.map((value) => ({ id: value, label: value }))}
      onChoose={onChoose}
    />
  );
}

/** The value of a filter as its chip shows it. */
export function Choice({ name, value }: { name: FilterName; value: string }) {
  switch (name) {
    case "person":
      return <Member id={value} />;
    case "project":
    case "repo":
      return <ProjectName kind={name} id={value} />;
    default:
      return value;
  }
}

function Member({ id }: { id: string }) {
  return useMembers().find((option) => option.id === id)?.label ?? id;
}

function ProjectName({ kind, id }: { kind: "project" | "repo"; id: string }) {
  return useProjects(kind).find((option) => option.id === id)?.label ?? id;
}
