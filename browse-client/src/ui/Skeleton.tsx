// The place of content that is being loaded, in its final size.

/** Sizes are CSS lengths. */
export function Skeleton({ width = "100%", height = "12px" }: { width?: string; height?: string }) {
  return <span className="skeleton" style={{ width, height }} aria-hidden="true" />;
}

/** Tells screen readers that something is being loaded. Put it once into each skeleton of a page. */
export function Loading({ what }: { what: string }) {
  return (
    <span className="visually-hidden" role="status">
      Loading {what}
    </span>
  );
}
