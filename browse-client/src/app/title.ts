// The title of the browser's tab.

import { useEffect } from "react";

/** Names the page; null while its name is not known. */
export function useTitle(page: string | null): void {
  useEffect(() => {
    document.title = page ? `${page} · Han Teams` : "Han Teams";
  }, [page]);
}
