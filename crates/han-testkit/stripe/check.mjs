// Checks what the tests send to the fake Stripe, and what it answers, against the types of the official package, which
// Stripe generates from its OpenAPI document of the same version of the API. samples.json has both; the test
// `billing::the_samples_of_requests_and_objects_are_current` of han-server keeps it current.

import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import Stripe from "stripe";

const here = fileURLToPath(new URL(".", import.meta.url));
const samples = JSON.parse(readFileSync(join(here, "samples.json"), "utf8"));

if (samples.version !== Stripe.API_VERSION) {
  console.error(`error: the samples have the version ${samples.version}, the package ${Stripe.API_VERSION}`);
  process.exit(1);
}

// A form has texts only; the package writes numbers and truth values.
function typed(value, name) {
  if (Array.isArray(value)) return value.map((item) => typed(item, name));
  if (value && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, typed(inner, key)]));
  if (name === "quantity" || name === "limit") return Number(value);
  if (name === "active") return value === "true";
  return value;
}

// The package makes objects of decimal numbers from these texts.
function withoutDecimals(value) {
  if (Array.isArray(value)) return value.map(withoutDecimals);
  if (!value || typeof value !== "object") return value;
  const entries = Object.entries(value).map(([key, inner]) => [key, key.endsWith("_decimal") ? null : withoutDecimals(inner)]);
  return Object.fromEntries(entries);
}

const lines = ['import Stripe from "stripe";'];
samples.objects.forEach(({ type, object }, at) => {
  lines.push(`export const object${at}: ${type} = ${JSON.stringify(withoutDecimals(object))};`);
});
samples.requests.forEach(({ type, parameters }, at) => {
  lines.push(`export const request${at}: ${type} = ${JSON.stringify(typed(parameters, ""))};`);
});
// What must not pass: otherwise the check would check nothing.
const { object } = samples.objects.find(({ type }) => type === "Stripe.Subscription");
const { status: _, ...without } = withoutDecimals(object);
lines.push("// @ts-expect-error", `export const wrong0: Stripe.Subscription = ${JSON.stringify(without)};`);
lines.push("// @ts-expect-error", 'export const wrong1: Stripe.CustomerCreateParams = { "unknown": "1" };');

const directory = mkdtempSync(join(here, "node_modules", ".check-"));
try {
  const file = join(directory, "check.ts");
  writeFileSync(file, lines.join("\n") + "\n");
  const tsc = join(here, "node_modules", ".bin", "tsc");
  const options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--target", "es2022", "--types", "node"];
  const done = spawnSync(tsc, [...options, file], { stdio: "inherit", cwd: here });
  process.exitCode = done.status ?? 1;
} finally {
  rmSync(directory, { recursive: true });
}
if (!process.exitCode) console.log(`${samples.objects.length} objects and ${samples.requests.length} requests have the types of stripe ${Stripe.PACKAGE_VERSION}`);
