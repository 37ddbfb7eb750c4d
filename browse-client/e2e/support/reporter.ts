// The output of a run: one line for each test, what failed and why, and the closing line that continuous integration
// reads. `SKIPPED:` and other diagnostics are printed as they come.

import type { TestEvent } from "node:test/reporters";
import { stripVTControlCharacters } from "node:util";

/** The most lines that are printed of one failure: a difference may have hundreds. */
const MAX_LINES = 50;

interface Failure {
  name: string;
  message: string;
}

export default async function* report(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  let passed = 0;
  const suites: string[] = [];
  const failures: Failure[] = [];
  for await (const { type, data } of source) {
    if (type === "test:start") {
      suites[data.nesting] = data.name;
    } else if (type === "test:pass" || type === "test:fail") {
      const name = [...suites.slice(0, data.nesting), data.name].join(": ");
      const seconds = (data.details.duration_ms / 1000).toFixed(1);
      if (type === "test:fail") {
        const error: Error & { failureType?: string } = data.details.error;
        // A suite fails with its tests, which are reported themselves.
        if (data.details.type === "suite" && error.failureType === "subtestsFailed") continue;
        const cause = error.cause instanceof Error ? error.cause : error;
        const lines = stripVTControlCharacters(cause.stack ?? cause.message).split("\n");
        if (lines.length > MAX_LINES) lines.splice(MAX_LINES, lines.length, "…");
        failures.push({ name, message: lines.join("\n") });
        yield `FAIL ${name} (${seconds} s)\n`;
      } else if (data.details.type !== "suite") {
        passed += data.skip === undefined ? 1 : 0;
        yield `${data.skip === undefined ? "pass" : "SKIPPED:"} ${name} (${seconds} s)\n`;
      }
    } else if (type === "test:diagnostic" && data.message.startsWith("SKIPPED:")) {
      yield `${data.message}\n`;
    } else if (type === "test:stderr" || type === "test:stdout") {
      yield data.message;
    }
  }
  for (const { name, message } of failures) yield `\n${name}\n${message}\n`;
  yield `\nbrowser tests: ${passed} passed, ${failures.length} failed\n`;
}
