// The filters of a page: a text, a button that adds a filter, and the chips of those in effect. All of them are in the
// URL.

import { Suspense, useEffect, useRef, useState } from "react";
import { Dialog, DialogTrigger, Popover } from "react-aria-components";
import { useSearchParams } from "react-router";

import { ErrorBoundary } from "../app/ErrorBoundary.tsx";
import { Button } from "../ui/Button.tsx";
import { Chip } from "../ui/Chip.tsx";
import { FilterIcon } from "../ui/icons.tsx";
import { Loading } from "../ui/Skeleton.tsx";
import { Choice, FilterMenu } from "./FilterMenu.tsx";
import { FILTER_LABELS, FILTERS, type FilterName, readFilters } from "./filters.ts";

/** How long typing may pause before the list follows. */
const TYPING_MS = 250;

export function FilterBar({
  names = FILTERS,
  withText = true,
}: {
  /** The filters that the page offers. */
  names?: readonly FilterName[];
  /** Whether it has a field for a text. */
  withText?: boolean;
}) {
  const [params, setParams] = useSearchParams();
  const filters = readFilters(params);
  const set = (name: string, value: string | null, replace = false) =>
    setParams(
      (params) => {
        if (value) params.set(name, value);
        else params.delete(name);
        return params;
      },
      { replace },
    );
  const active = names.filter((name) => filters[name]);
  return (
    <div className="filter-bar">
      {withText && <TextFilter value={filters.q ?? ""} onChange={(text) => set("q", text, true)} />}
      <DialogTrigger>
        <Button look="plain" small>
          <FilterIcon />
          Filter
        </Button>
        <Popover className="popover" placement="bottom start" offset={6}>
          <Dialog className="filter-dialog" aria-label="Add a filter">
            {({ close }) => (
              <FilterMenu
                names={names}
                onChoose={(name, value) => {
                  set(name, value);
                  close();
                }}
              />
            )}
          </Dialog>
        </Popover>
      </DialogTrigger>
      {active.map((name) => (
        <Chip key={name} name={FILTER_LABELS[name]} onRemove={() => set(name, null)}>
          <ErrorBoundary what="The name" fallback={filters[name]}>
            <Suspense fallback={<Loading what="the name" />}>
              <Choice name={name} value={filters[name] ?? ""} />
            </Suspense>
          </ErrorBoundary>
        </Chip>
      ))}
      {active.length > 1 && (
        <Button
          look="quiet"
          small
          onPress={() =>
            setParams((params) => {
              for (const name of active) params.delete(name);
              return params;
            })
          }
        >
          Clear
        </Button>
      )}
    </div>
  );
}

/** A field whose text goes into the URL when typing pauses. */
function TextFilter({ value, onChange }: { value: string; onChange: (text: string) => void }) {
  const [text, setText] = useState(value);
  const [last, setLast] = useState(value);
  const typing = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(typing.current), []);
  // The URL may change without typing: by "back", or by a chip.
  if (value !== last) {
    setLast(value);
    if (value !== text.trim()) setText(value);
  }
  return (
    <input
      className="text-filter"
      type="search"
      aria-label="Filter by title, branch, project or person"
      placeholder="Filter by title, branch, project, person"
      value={text}
      onChange={(event) => {
        const next = event.target.value;
        setText(next);
        clearTimeout(typing.current);
        typing.current = setTimeout(() => onChange(next.trim()), TYPING_MS);
      }}
      onKeyDown={(event) => {
        if (event.key === "Escape") event.currentTarget.blur();
      }}
    />
  );
}
