// The page of an address that leads nowhere.

import { Link } from "react-router";

import { Empty } from "../ui/Empty.tsx";
import { useTitle } from "./title.ts";

export function NotFound() {
  useTitle("Not found");
  return (
    <Empty title="There is no such page">
      <p>
        The address may be mistyped. <Link to="/sessions">All sessions</Link>
      </p>
    </Empty>
  );
}
