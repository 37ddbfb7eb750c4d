// What failed, why, the id under which the server's log has more, and a button that tries again.

import { PageLoadError, RequestError } from "../app/errors.ts";
import { Button, ButtonLink } from "./Button.tsx";
import { Empty } from "./Empty.tsx";

/** `what` completes the sentence "… could not be loaded". */
export function ErrorState({ what, error, onRetry }: { what: string; error: unknown; onRetry: () => void }) {
  if (error instanceof RequestError && error.status === 401) return <SignInAgain />;
  if (error instanceof RequestError && (error.code === "FORBIDDEN" || error.status === 403)) {
    return (
      <Empty title="You have no access to this">
        <p>{sentence(error.message)} An admin of your team can give you access.</p>
      </Empty>
    );
  }
  if (error instanceof RequestError && error.code === "BAD_USER_INPUT") {
    // To try the same again is of no use.
    return (
      <div role="alert">
        <Empty title={`${what} cannot be shown`}>
          <p>{sentence(error.message)}</p>
        </Empty>
      </div>
    );
  }
  if (error instanceof PageLoadError) {
    return (
      <div role="alert">
        <Empty title={`${what} could not be loaded`}>
          <p>{error.message}</p>
          <p>
            <Button onPress={() => location.reload()}>Load again</Button>
          </p>
        </Empty>
      </div>
    );
  }
  return (
    <div role="alert">
      <Empty title={`${what} could not be loaded`}>
        <p>{sentence(error instanceof Error ? error.message : String(error))}</p>
        {error instanceof RequestError && error.requestId && (
          <p>
            Request <code>{error.requestId}</code>
          </p>
        )}
        <p>
          <Button onPress={onRetry}>Try again</Button>
        </p>
      </Empty>
    </div>
  );
}

/** A sign-in that has ended or was revoked. */
export function SignInAgain() {
  const back = encodeURIComponent(location.pathname + location.search);
  return (
    <Empty title="You are signed out">
      <p>Your sign-in on this server has ended. Sign in again to return to this page.</p>
      <p>
        <ButtonLink look="primary" href={`/auth/sign-in?return_to=${back}`}>
          Sign in
        </ButtonLink>
      </p>
    </Empty>
  );
}

/** A message of the server as a sentence. */
function sentence(text: string): string {
  const capital = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}
