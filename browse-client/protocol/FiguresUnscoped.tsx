// The same figures without any scope argument.

import { graphql, useLazyLoadQuery } from "react-relay";

import type { FiguresUnscopedQuery } from "./__generated__/FiguresUnscopedQuery.graphql.ts";

export default function FiguresUnscoped() {
  const data = useLazyLoadQuery<FiguresUnscopedQuery>(
    graphql`
      query FiguresUnscopedQuery {
        activity(days: 730) {
          ...Figures_activity @relay(mask: false)
        }
        metrics(period: MONTH) {
          ...Figures_metrics @relay(mask: false)
        }
        dashboardAnalytics(days: 30) {
          ...Figures_analytics @relay(mask: false)
        }
      }
    `,
    {},
  );
  return <pre data-figures>{JSON.stringify(data)}</pre>;
}
