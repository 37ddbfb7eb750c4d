// Who is signed in and for which team; the theme; signing out.

import { Suspense, useState } from "react";
import {
  Button as AriaButton,
  Header,
  Menu,
  MenuItem,
  MenuSection,
  MenuTrigger,
  Popover,
} from "react-aria-components";
import { graphql, useLazyLoadQuery, useMutation } from "react-relay";

import { CheckIcon } from "../ui/icons.tsx";
import type { UserMenuQuery } from "./__generated__/UserMenuQuery.graphql.ts";
import type { UserMenuSwitchMutation } from "./__generated__/UserMenuSwitchMutation.graphql.ts";
import { ErrorBoundary, useFetchKey } from "./ErrorBoundary.tsx";
import { useMode } from "./server.ts";
import { setTheme, type Theme, useTheme } from "./theme.ts";

const THEMES: readonly [Theme, string][] = [
  ["system", "Like the system"],
  ["light", "Light"],
  ["dark", "Dark"],
];

export function UserMenu() {
  return (
    <ErrorBoundary what="Your name" fallback={<span className="avatar" aria-hidden="true" />}>
      <Suspense fallback={<span className="avatar" aria-hidden="true" />}>
        <Loaded />
      </Suspense>
    </ErrorBoundary>
  );
}

function Loaded() {
  const { me, myTeams, activeTeam } = useLazyLoadQuery<UserMenuQuery>(
    graphql`
      query UserMenuQuery {
        me {
          id
          name
          email
        }
        myTeams {
          id
          name
        }
        activeTeam {
          id
          name
        }
      }
    `,
    {},
    { fetchKey: useFetchKey() },
  );
  const theme = useTheme();
  const mode = useMode();
  const [failure, setFailure] = useState<string | null>(null);
  const [switchTeam] = useMutation<UserMenuSwitchMutation>(graphql`
    mutation UserMenuSwitchMutation($team: ID!) {
      switchTeam(teamId: $team) {
        id
      }
    }
  `);
  const name = me?.name ?? me?.email ?? "Your account";
  const chooseTeam = (team: string) => {
    if (team === activeTeam?.id) return;
    switchTeam({
      variables: { team },
      // All data on the page belongs to the team, so the page begins again.
      onCompleted: (_, errors) =>
        errors?.length ? setFailure(errors[0]?.message ?? "failed") : location.assign("/sessions"),
      onError: (error) => setFailure(error.message),
    });
  };
  const signOut = async () => {
    try {
      const response = await fetch("/auth/logout", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
      });
      if (!response.ok) throw new Error(`the server answered ${response.status}`);
      location.assign("/auth/sign-in?signed_out=1");
    } catch (error) {
      setFailure(`You could not be signed out: ${error instanceof Error ? error.message : error}.`);
    }
  };
  return (
    <>
      {failure && (
        <span className="menu-failure" role="alert">
          {failure}
        </span>
      )}
      <MenuTrigger>
        <AriaButton className="user">
          {activeTeam && <span className="team-name truncate">{activeTeam.name}</span>}
          <span className="avatar" aria-hidden="true">
            {name.charAt(0).toUpperCase()}
          </span>
          <span className="visually-hidden">Menu of {name}</span>
        </AriaButton>
        <Popover className="popover" placement="bottom end" offset={6}>
          <Menu className="menu" aria-label={`Menu of ${name}`}>
            {myTeams && myTeams.length > 0 && (
              <MenuSection
                selectionMode="single"
                selectedKeys={activeTeam ? [activeTeam.id] : []}
                onSelectionChange={(keys) => {
                  const [team] = keys === "all" ? [] : keys;
                  if (team) chooseTeam(String(team));
                }}
              >
                <Header>Team</Header>
                {myTeams.map((team) => (
                  <MenuItem key={team.id} id={team.id} textValue={team.name}>
                    <span className="truncate">{team.name}</span>
                    {team.id === activeTeam?.id && <CheckIcon />}
                  </MenuItem>
                ))}
              </MenuSection>
            )}
            <MenuSection
              selectionMode="single"
              selectedKeys={[theme]}
              onSelectionChange={(keys) => {
                const [chosen] = keys === "all" ? [] : keys;
                if (chosen) setTheme(chosen as Theme);
              }}
            >
              <Header>Theme</Header>
              {THEMES.map(([id, label]) => (
                <MenuItem key={id} id={id} textValue={label}>
                  <span>{label}</span>
                  {id === theme && <CheckIcon />}
                </MenuItem>
              ))}
            </MenuSection>
            {mode === "team" && (
              <MenuSection>
                <Header>{me?.email ?? name}</Header>
                <MenuItem onAction={() => void signOut()} textValue="Sign out">
                  Sign out
                </MenuItem>
              </MenuSection>
            )}
          </Menu>
        </Popover>
      </MenuTrigger>
    </>
  );
}
