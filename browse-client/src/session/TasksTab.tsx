// The tasks of a session: the agent's own, Han's, and the latest to-do list.

import { useEffect } from "react";
import { graphql, useLazyLoadQuery, useRelayEnvironment } from "react-relay";
import { fetchQuery } from "relay-runtime";

import { useFetchKey } from "../app/ErrorBoundary.tsx";
import { Badge, type Tone } from "../ui/Badge.tsx";
import { Empty } from "../ui/Empty.tsx";
import { fullTime, time } from "../ui/format.ts";
import TasksTabQueryNode, { type TasksTabQuery } from "./__generated__/TasksTabQuery.graphql.ts";

const TONES: Record<string, Tone> = {
  completed: "green",
  success: "green",
  in_progress: "accent",
  active: "accent",
  partial: "amber",
  failed: "red",
  failure: "red",
};

function State({ of }: { of: string }) {
  return <Badge tone={TONES[of.toLowerCase()] ?? "neutral"}>{of.toLowerCase().replaceAll("_", " ")}</Badge>;
}

export default function TasksTab({ session: id, revision }: { session: string; revision: number }) {
  const environment = useRelayEnvironment();
  const { session } = useLazyLoadQuery<TasksTabQuery>(
    graphql`
      query TasksTabQuery($id: String!) {
        session(id: $id) {
          id
          nativeTasks {
            id
            taskId
            subject
            description
            status
            owner
            blockedBy
            updatedAt
          }
          tasks {
            edges {
              node {
                id
                description
                type
                status
                outcome
                startedAt
                completedAt
              }
            }
          }
          todos {
            edges {
              node {
                id
                content
                status
              }
            }
          }
        }
      }
    `,
    { id },
    { fetchKey: useFetchKey(), fetchPolicy: "store-and-network" },
  );
  useEffect(() => {
    // What the query itself fetched is of revision 0.
    if (revision === 0) return;
    const fetching = fetchQuery(environment, TasksTabQueryNode, { id }).subscribe({});
    return () => fetching.unsubscribe();
  }, [environment, id, revision]);
  const own = session?.nativeTasks ?? [];
  const han = session?.tasks.edges ?? [];
  const todos = session?.todos.edges ?? [];
  if (own.length + han.length + todos.length === 0) {
    return (
      <Empty title="No tasks">
        <p>Tasks and to-do lists that the agent keeps appear here while it works.</p>
      </Empty>
    );
  }
  return (
    <div className="tasks">
      {own.length > 0 && (
        <section>
          <h2>Tasks of the agent</h2>
          <ul>
            {own.map((task) => (
              <li key={task.id} className="task">
                <State of={task.status} />
                <div>
                  <p className="task-title">{task.subject || `Task ${task.taskId}`}</p>
                  {task.description && <p className="task-text">{task.description}</p>}
                  {task.blockedBy.length > 0 && (
                    <p className="task-text">Blocked by {task.blockedBy.join(", ")}</p>
                  )}
                </div>
                <time dateTime={task.updatedAt} title={fullTime(task.updatedAt)}>
                  {time(task.updatedAt)}
                </time>
              </li>
            ))}
          </ul>
        </section>
      )}
      {todos.length > 0 && (
        <section>
          <h2>Latest to-do list</h2>
          <ul>
            {todos.map(({ node }) => (
              <li key={node.id} className="task">
                <State of={node.status} />
                <p className="task-title">{node.content}</p>
              </li>
            ))}
          </ul>
        </section>
      )}
      {han.length > 0 && (
        <section>
          <h2>Tasks of Han</h2>
          <ul>
            {han.map(({ node }) => (
              <li key={node.id} className="task">
                <State of={node.outcome ?? node.status} />
                <div>
                  <p className="task-title">{node.description || "Without a description"}</p>
                  {node.type && <p className="task-text">{node.type.toLowerCase()}</p>}
                </div>
                <time dateTime={node.startedAt} title={fullTime(node.startedAt)}>
                  {time(node.startedAt)}
                </time>
              </li>
            ))}
          </ul>
        </section>
      )}
    </div>
  );
}
