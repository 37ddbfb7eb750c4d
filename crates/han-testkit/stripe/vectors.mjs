// Writes the headers that the official package makes, for the tests of signatures. Every input is fixed, so the output is
// the same each time: script/lib/check-stripe fails if a file differs.
//
//   node vectors.mjs            writes the files
//   node vectors.mjs --check    compares them

import { readFileSync, writeFileSync } from "node:fs";
import Stripe from "stripe";

const time = 1793610000;

function header(secret, body, at = time) {
  return Stripe.webhooks.generateTestHeaderString({ payload: body, secret, timestamp: at });
}

const event = JSON.stringify({ id: "evt_1", object: "event", type: "invoice.paid" });
const pretty = JSON.stringify(JSON.parse(event), null, 2);
const inputs = [
  ["whsec_test", event, time],
  ["whsec_test", pretty, time],
  ["whsec_another", event, time],
  ["whsec_" + "x".repeat(200), event, time],
  ["whsec_test", '{"name":"Ünïcode 日本 \\u0000"}', time],
  ["whsec_test", "{}", 1],
];
const cases = inputs.map(([secret, body, at]) => ({ secret, time: at, body, header: header(secret, body, at) }));
for (const { secret, body, header: made, time: at } of cases) {
  // The package accepts what it has made; 0 would be the present.
  Stripe.webhooks.constructEvent(body, made, secret, 300, undefined, at * 1000);
}
const source = `npm package stripe ${Stripe.PACKAGE_VERSION ?? Stripe.VERSION ?? "23.1.0"}, webhooks.generateTestHeaderString`;
const files = {
  "../../han-server/tests/fixtures/stripe-signatures.json": JSON.stringify({ source, cases }, null, 2) + "\n",
  "signature.txt": header("whsec_test", '{"id":"evt_1"}') + "\n",
};
for (const [name, text] of Object.entries(files)) {
  const file = new URL(name, import.meta.url);
  if (process.argv[2] !== "--check") {
    writeFileSync(file, text);
  } else if (readFileSync(file, "utf8") !== text) {
    console.error(`error: ${name} is not what the package makes: run node vectors.mjs`);
    process.exitCode = 1;
  }
}
