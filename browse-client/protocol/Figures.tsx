// The figures of the published client's dashboard and repository pages. It sends `""` for a scope that it does not
// set, also beside one that it sets.

import { graphql, useLazyLoadQuery } from "react-relay";

import type { FiguresQuery } from "./__generated__/FiguresQuery.graphql.ts";
import { useUpdates } from "./Updates.tsx";

graphql`
  fragment Figures_activity on ActivityData {
    dailyActivity {
      date
      sessionCount
      messageCount
      inputTokens
      outputTokens
      cachedTokens
      linesAdded
      linesRemoved
      filesChanged
    }
    hourlyActivity {
      hour
      sessionCount
      messageCount
    }
    tokenUsage {
      totalInputTokens
      totalOutputTokens
      totalCachedTokens
      totalTokens
      estimatedCostUsd
      messageCount
      sessionCount
    }
    dailyModelTokens {
      date
      models {
        model
        displayName
        tokens
      }
      totalTokens
    }
    modelUsage {
      model
      displayName
      totalTokens
    }
    streakDays
    totalActiveDays
    totalSessions
    totalMessages
    firstSessionDate
  }
`;

graphql`
  fragment Figures_metrics on MetricsData {
    totalTasks
    completedTasks
    successRate
    averageConfidence
    calibrationScore
    significantFrustrations
    significantFrustrationRate
  }
`;

graphql`
  fragment Figures_analytics on DashboardAnalytics {
    subagentUsage {
      subagentType
      count
    }
    compactionStats {
      totalCompactions
      sessionsWithCompactions
      sessionsWithoutCompactions
    }
    toolUsage {
      toolName
      count
    }
    hookHealth {
      hookName
      totalRuns
      passRate
    }
    topSessions {
      sessionId
      score
      turnCount
    }
    costAnalysis {
      estimatedCostUsd
      cacheHitRate
      costPerSession
      dailyCostTrend {
        date
        costUsd
        sessionCount
      }
      topSessionsByCost {
        sessionId
        costUsd
        messageCount
      }
    }
  }
`;

export default function Figures({ repoId }: { repoId: string }) {
  const data = useLazyLoadQuery<FiguresQuery>(
    graphql`
      query FiguresQuery($repoId: String, $projectId: String) {
        activity(days: 730, projectId: $projectId, repoId: $repoId) {
          ...Figures_activity @relay(mask: false)
        }
        metrics(period: MONTH, projectId: $projectId, repoId: $repoId) {
          ...Figures_metrics @relay(mask: false)
        }
        dashboardAnalytics(days: 30, projectId: $projectId, repoId: $repoId) {
          ...Figures_analytics @relay(mask: false)
        }
      }
    `,
    { repoId, projectId: "" },
    { fetchPolicy: "store-and-network", fetchKey: useUpdates() },
  );
  return <pre data-figures>{JSON.stringify(data)}</pre>;
}
