// What a request to the server can fail with.

/** A request that failed: what to show to the user, and the id under which the server's log has more. */
export class RequestError extends Error {
  /** The HTTP status; 0 if there was no response. */
  readonly status: number;
  /** `extensions.code` of a GraphQL error. */
  readonly code: string | null;
  readonly requestId: string | null;

  constructor(message: string, status: number, code: string | null, requestId: string | null) {
    super(message);
    this.name = "RequestError";
    this.status = status;
    this.code = code;
    this.requestId = requestId;
  }

  /** Whether the server could not be reached, so that a later attempt may succeed. */
  get isOffline(): boolean {
    return this.status === 0;
  }
}

/** A page's script that could not be loaded. Browsers remember that, so only a new load of the application helps. */
export class PageLoadError extends Error {
  constructor(cause: unknown) {
    super("A part of the dashboard could not be loaded. The server was updated, or it cannot be reached.", {
      cause,
    });
    this.name = "PageLoadError";
  }
}

export type GraphQLError = { message: string; extensions?: { code?: string } };

/** The error of a response of which nothing can be shown. */
export function requestError(errors: readonly GraphQLError[], status: number, requestId: string | null) {
  const [first] = errors;
  return new RequestError(
    first?.message ?? "the server sent no data",
    status,
    first?.extensions?.code ?? null,
    requestId,
  );
}

/** The code of the first error that has one. */
export function codeOf(errors: unknown): string | null {
  if (!Array.isArray(errors)) return null;
  for (const error of errors as GraphQLError[]) {
    if (error.extensions?.code) return error.extensions.code;
  }
  return null;
}
