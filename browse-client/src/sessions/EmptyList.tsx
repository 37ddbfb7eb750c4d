// The list of sessions when it has no rows: how to push the first one, or which filters are in the way.

import { useState } from "react";
import { graphql, useLazyLoadQuery, useMutation } from "react-relay";
import { useSearchParams } from "react-router";

import { Button } from "../ui/Button.tsx";
import { Chip } from "../ui/Chip.tsx";
import { Empty } from "../ui/Empty.tsx";
import type { EmptyListKeyMutation } from "./__generated__/EmptyListKeyMutation.graphql.ts";
import type { EmptyListQuery } from "./__generated__/EmptyListQuery.graphql.ts";
import { Command } from "./Command.tsx";
import { FILTER_LABELS, FILTERS, type Filters } from "./filters.ts";

/** Turns into the list by itself when a session arrives. */
export function FirstSession() {
  const { activeTeam } = useLazyLoadQuery<EmptyListQuery>(
    graphql`
      query EmptyListQuery {
        activeTeam {
          id
          name
        }
      }
    `,
    {},
  );
  if (!activeTeam) {
    return (
      <Empty title="You are in no team yet">
        <p>
          Ask an admin of a team for an invite, and open its link in this browser. On a server of your own,
          create a team with
        </p>
        <Command text="han-server key create --create --user NAME --team TEAM" />
      </Empty>
    );
  }
  return (
    <Empty title="No session yet">
      <p>
        Run these commands on the machine on which you use a coding agent. The sessions of {activeTeam.name}{" "}
        appear here as they arrive.
      </p>
      <ol className="steps">
        <li>
          <p>Sign in, once:</p>
          <Command text={`han-coordinator login --server ${location.origin}`} />
        </li>
        <li>
          <p>
            Push every session of every project. You can repeat this at any time; nothing is stored twice:
          </p>
          <Command text="han-coordinator push ~/.claude/projects" />
        </li>
      </ol>
      <ApiKey team={activeTeam.id} />
      <p className="waiting" role="status">
        <span className="dot" aria-hidden="true" /> Waiting for the first session
      </p>
    </Empty>
  );
}

/** For machines without a browser: a key that is shown once. */
function ApiKey({ team }: { team: string }) {
  const [create, isCreating] = useMutation<EmptyListKeyMutation>(graphql`
    mutation EmptyListKeyMutation($team: ID!) {
      createApiKey(teamId: $team, name: "first push", scopes: ["sync:write"]) {
        secret
      }
    }
  `);
  const [secret, setSecret] = useState<string | null>(null);
  const [failure, setFailure] = useState<string | null>(null);
  const press = () =>
    create({
      variables: { team },
      onCompleted: ({ createApiKey }, errors) => {
        setSecret(createApiKey?.secret ?? null);
        setFailure(errors?.[0]?.message ?? null);
      },
      onError: (error) => setFailure(error.message),
    });
  if (secret) {
    return (
      <div className="steps">
        <p>This key may push sessions. It is shown only now. Use it in place of the first command:</p>
        <Command text={`export HAN_URL=${location.origin} HAN_API_KEY=${secret}`} />
      </div>
    );
  }
  return (
    <p>
      No browser on that machine?{" "}
      <Button small onPress={press} isDisabled={isCreating}>
        Create an API key
      </Button>
      {failure && (
        <span className="failure" role="alert">
          {" "}
          No key was created: {failure}
        </span>
      )}
    </p>
  );
}

/** The filters in effect, each with a button that removes it. */
export function NothingMatches({ filters }: { filters: Filters }) {
  const [, setParams] = useSearchParams();
  const without = (name: string) =>
    setParams((params) => {
      params.delete(name);
      return params;
    });
  return (
    <Empty title="No session matches">
      <p>These filters are in effect:</p>
      <p className="chips">
        {filters.q && (
          <Chip name="Text" onRemove={() => without("q")}>
            {filters.q}
          </Chip>
        )}
        {FILTERS.map(
          (name) =>
            filters[name] && (
              <Chip key={name} name={FILTER_LABELS[name]} onRemove={() => without(name)}>
                {filters[name]}
              </Chip>
            ),
        )}
      </p>
      <p>
        <Button onPress={() => setParams({})}>Remove all</Button>
      </p>
    </Empty>
  );
}
