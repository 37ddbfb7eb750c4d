// Numbers, money, durations and times as text. Dates are in the browser's time zone.

import { useSyncExternalStore } from "react";

const LOCALE = "en-GB";

const integer = new Intl.NumberFormat(LOCALE);
const short = new Intl.NumberFormat(LOCALE, { notation: "compact", maximumFractionDigits: 1 });
const dollars = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD" });
const exactDollars = new Intl.NumberFormat("en-US", {
  style: "currency",
  currency: "USD",
  minimumFractionDigits: 2,
  maximumFractionDigits: 6,
});
const clock = new Intl.DateTimeFormat(LOCALE, { hour: "2-digit", minute: "2-digit" });
const dayOfYear = new Intl.DateTimeFormat(LOCALE, { weekday: "long", day: "numeric", month: "long" });
const dayWithYear = new Intl.DateTimeFormat(LOCALE, {
  weekday: "long",
  day: "numeric",
  month: "long",
  year: "numeric",
});
const shortDay = new Intl.DateTimeFormat(LOCALE, { day: "numeric", month: "short" });
const shortDayWithYear = new Intl.DateTimeFormat(LOCALE, { day: "numeric", month: "short", year: "numeric" });
const full = new Intl.DateTimeFormat(LOCALE, {
  weekday: "short",
  day: "numeric",
  month: "short",
  year: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  timeZoneName: "short",
});

/** `1,234`. */
export function number(value: number): string {
  return integer.format(value);
}

/** `2 answers without a price (1,234 tokens)`: what a cost does not include. */
export function unpricedText(answers: number, tokens: number): string {
  return `${number(answers)} ${answers === 1 ? "answer" : "answers"} without a price (${number(tokens)} tokens)`;
}

/** `1.2K`, `3.4M`; show the exact value on hover. */
export function compact(value: number): string {
  return short.format(value);
}

/** `$1.23`; `<$0.01` for less than a cent. */
export function money(usd: number): string {
  return usd > 0 && usd < 0.01 ? "<$0.01" : dollars.format(usd);
}

/** With up to six decimals. */
export function exactMoney(usd: number): string {
  return exactDollars.format(usd);
}

/** `45 s`, `12 min`, `3 h 05 min`, `2 d 4 h`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.round(whole / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** Milliseconds: `40 ms`, `1.3 s`, then as `duration`. */
export function milliseconds(value: number): string {
  if (value < 1_000) return `${Math.round(value)} ms`;
  return value < 10_000 ? `${(value / 1_000).toFixed(1)} s` : duration(value / 1_000);
}

const UNITS = ["B", "KB", "MB", "GB"];

/** `512 B`, `1.4 MB`, in steps of 1,024. */
export function bytes(value: number): string {
  let size = value;
  let unit = 0;
  while (size >= 1_024 && unit < UNITS.length - 1) {
    size /= 1_024;
    unit += 1;
  }
  return `${unit === 0 || size >= 100 ? Math.round(size) : size.toFixed(1)} ${UNITS[unit]}`;
}

/** `14:02`. */
export function time(at: Date | string): string {
  return clock.format(new Date(at));
}

/** With weekday, seconds and time zone, for a tooltip. */
export function fullTime(at: Date | string): string {
  return full.format(new Date(at));
}

/** Days since the beginning of the era, in the browser's time zone: equal for two times of one day. */
function dayNumber(at: Date): number {
  return Math.floor(Date.UTC(at.getFullYear(), at.getMonth(), at.getDate()) / 86_400_000);
}

/** `2026-11-26` in the browser's time zone. */
export function dayKey(at: Date | string): string {
  const date = new Date(at);
  const two = (value: number) => String(value).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/** `Today`, `Yesterday`, `Monday 23 November`. */
export function dayLabel(at: Date | string, now: Date): string {
  const date = new Date(at);
  const days = dayNumber(now) - dayNumber(date);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  return (date.getFullYear() === now.getFullYear() ? dayOfYear : dayWithYear).format(date);
}

/** `now`, `5 min`, `3 h`, then the day: how long ago it was, for a narrow column. */
export function ago(at: Date | string, now: Date): string {
  const date = new Date(at);
  const minutes = Math.floor((now.getTime() - date.getTime()) / 60_000);
  if (minutes < 1) return "now";
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h`;
  return (date.getFullYear() === now.getFullYear() ? shortDay : shortDayWithYear).format(date);
}

const TICK_MS = 15_000;

/** Smaller differences between the clocks are left alone: the server's time is only known to the second. */
const CLOCK_TOLERANCE_MS = 5_000;

/** How far this machine's clock is behind the server's, in milliseconds. */
let behind = 0;
let now = new Date();
let ticking: ReturnType<typeof setInterval> | undefined;
const watchers = new Set<() => void>();

function tick(): void {
  now = serverNow();
  for (const one of watchers) one();
}

/** The server's time. */
export function serverNow(): Date {
  return new Date(Date.now() + behind);
}

/** Takes over the server's time, with which the times of sessions are compared. */
export function setServerTime(time: Date): void {
  const difference = time.getTime() - Date.now();
  if (Number.isNaN(difference) || Math.abs(difference) < CLOCK_TOLERANCE_MS) return;
  behind = difference;
  tick();
}

function watch(watcher: () => void): () => void {
  watchers.add(watcher);
  if (ticking === undefined) {
    tick();
    ticking = setInterval(tick, TICK_MS);
  }
  return () => {
    watchers.delete(watcher);
    if (watchers.size === 0) {
      clearInterval(ticking);
      ticking = undefined;
    }
  };
}

/** The server's current time, which grows every 15 seconds: for texts such as `5 min`. */
export function useNow(): Date {
  return useSyncExternalStore(watch, () => now);
}
