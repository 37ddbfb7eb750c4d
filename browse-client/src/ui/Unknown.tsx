// A value that is not known. It is never shown as 0.

/** `reason` is a short phrase, such as `no answer of this session has a price`. */
export function Unknown({ reason }: { reason: string }) {
  return (
    <span className="unknown" title={`Unknown: ${reason}`}>
      <span aria-hidden="true">–</span>
      <span className="visually-hidden">Unknown: {reason}</span>
    </span>
  );
}
