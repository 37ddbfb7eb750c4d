// Shows what a page failed with, and tries again: on demand, and by itself once the server can be reached again.

import { Component, createContext, type ReactNode, use } from "react";

import { ErrorState } from "../ui/ErrorState.tsx";
import { useConnection } from "./connection.ts";

const FetchKey = createContext(0);

/** Grows with each attempt: the `fetchKey` of a page's queries, because Relay remembers a query that failed. */
export function useFetchKey(): number {
  return use(FetchKey);
}

type Props = { children: ReactNode; what: string; generation: number; fallback: ReactNode };
type State = { error: unknown; attempt: number; generation: number };

class Boundary extends Component<Props, State> {
  override state: State = { error: null, attempt: 0, generation: this.props.generation };

  static getDerivedStateFromError(error: unknown): Partial<State> {
    return { error };
  }

  /** A new connection is a reason to try again. */
  static getDerivedStateFromProps({ generation }: Props, state: State): Partial<State> | null {
    if (generation === state.generation) return null;
    return state.error === null ? { generation } : { generation, error: null, attempt: state.attempt + 1 };
  }

  override render() {
    if (this.state.error === null)
      return <FetchKey value={this.state.attempt}>{this.props.children}</FetchKey>;
    if (this.props.fallback !== undefined) return this.props.fallback;
    return (
      <ErrorState
        what={this.props.what}
        error={this.state.error}
        onRetry={() => this.setState(({ attempt }) => ({ error: null, attempt: attempt + 1 }))}
      />
    );
  }
}

/**
 * `what` completes the sentence "… could not be loaded". Where there is no place for that, `fallback` is shown instead.
 * Give it a `key` that differs between pages.
 */
export function ErrorBoundary({
  children,
  what,
  fallback,
}: {
  children: ReactNode;
  what: string;
  fallback?: ReactNode;
}) {
  const { generation } = useConnection();
  return (
    <Boundary what={what} generation={generation} fallback={fallback}>
      {children}
    </Boundary>
  );
}
