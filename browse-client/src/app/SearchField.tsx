// The search field of the top bar: Enter opens the Search page with the query.

import { type FormEvent, type Ref, useImperativeHandle, useRef, useState } from "react";
import { useLocation, useNavigate } from "react-router";

import { SearchIcon } from "../ui/icons.tsx";

export type SearchFieldHandle = { focus: () => void };

export function SearchField({ ref }: { ref: Ref<SearchFieldHandle> }) {
  const { pathname, search } = useLocation();
  const navigate = useNavigate();
  const input = useRef<HTMLInputElement>(null);
  // The field shows the query of the Search page, which may change with the back button.
  const inUrl = pathname === "/search" ? (new URLSearchParams(search).get("q") ?? "") : "";
  const [text, setText] = useState(inUrl);
  const [last, setLast] = useState(inUrl);
  if (inUrl !== last) {
    setLast(inUrl);
    setText(inUrl);
  }
  useImperativeHandle(ref, () => ({
    focus: () => {
      input.current?.focus();
      input.current?.select();
    },
  }));
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const query = text.trim();
    if (!query) return;
    // On the Search page, a new query keeps the filters.
    const params = new URLSearchParams(pathname === "/search" ? search : "");
    params.set("q", query);
    input.current?.blur();
    void navigate({ pathname: "/search", search: `?${params}` });
  };
  return (
    <search className="search-field">
      <form onSubmit={submit}>
        <SearchIcon />
        <input
          ref={input}
          type="search"
          name="q"
          aria-label="Search messages"
          placeholder="Search messages"
          autoComplete="off"
          maxLength={500}
          value={text}
          onChange={(event) => setText(event.target.value)}
          onKeyDown={(event) => {
            if (event.key === "Escape") event.currentTarget.blur();
          }}
        />
        <span className="key" aria-hidden="true">
          /
        </span>
      </form>
    </search>
  );
}
