// Chromium, and a tab that records what it sends and receives.

import { EventEmitter, once } from "node:events";

import { type Browser, type BrowserContext, chromium, type Page, type Request } from "playwright-core";

/** A test that waits longer than this for one event fails. */
const TIMEOUT_MS = 10_000;

export function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env.HAN_CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/**
 * Makes the sockets of a browser's pages ping all the time. `Tab.subscribed` waits for a pong, and the dashboard itself
 * pings every ten seconds.
 */
export async function pingOften(context: BrowserContext): Promise<void> {
  await context.addInitScript(() => {
    const Native = WebSocket;
    window.WebSocket = class extends Native {
      constructor(url: string | URL, protocols?: string | string[]) {
        super(url, protocols);
        let timer: ReturnType<typeof setInterval>;
        this.addEventListener("message", ({ data }) => {
          if (JSON.parse(data).type !== "connection_ack") return;
          timer = setInterval(() => this.send(JSON.stringify({ type: "ping" })), 100);
        });
        this.addEventListener("close", () => clearInterval(timer));
      }
    };
  });
}

/** A message of the graphql-transport-ws protocol. */
export interface Frame {
  sent: boolean;
  type: string;
  id?: string;
  // biome-ignore lint/suspicious/noExplicitAny: the shape depends on the operation
  payload?: any;
}

/** A tab, with its WebSocket's frames, its GraphQL requests and what went wrong on its pages. */
export class Tab {
  readonly page: Page;
  readonly frames: Frame[] = [];
  readonly requests: Request[] = [];
  readonly errors: string[] = [];
  #arrived = new EventEmitter();

  private constructor(page: Page) {
    this.page = page;
    page.setDefaultTimeout(TIMEOUT_MS);
    page.on("pageerror", (error) => this.errors.push(error.message));
    page.on("console", (message) => {
      if (message.text().includes("Content Security Policy")) this.errors.push(message.text());
    });
    page.on("request", (request) => {
      if (new URL(request.url()).pathname === "/graphql") this.requests.push(request);
    });
    page.on("websocket", (socket) => {
      socket.on("framesent", ({ payload }) => this.#record(true, payload));
      socket.on("framereceived", ({ payload }) => this.#record(false, payload));
    });
  }

  static async open(context: BrowserContext, url: string): Promise<Tab> {
    const tab = new Tab(await context.newPage());
    await tab.page.goto(url);
    return tab;
  }

  #record(sent: boolean, payload: string | Buffer): void {
    this.frames.push({ sent, ...JSON.parse(payload.toString()) });
    this.#arrived.emit("frame");
  }

  /** The first frame at or after the index `from` that `wanted` accepts, once it is there; and its index. */
  async frame(what: string, wanted: (frame: Frame) => boolean, from = 0): Promise<[Frame, number]> {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    for (let index = from; ; index++) {
      while (index >= this.frames.length) {
        await once(this.#arrived, "frame", { signal }).catch(() => {
          throw new Error(`no frame within ${TIMEOUT_MS} ms: ${what}`);
        });
      }
      const frame = this.frames[index];
      if (frame && wanted(frame)) return [frame, index];
    }
  }

  /**
   * Returns once the server has begun the subscriptions to `fields` that were sent at or after the frame `from`: it
   * answers a ping that was sent after them.
   */
  async subscribed(fields: string[], from = 0): Promise<void> {
    let last = from;
    for (const field of fields) {
      const name = new RegExp(`\\b${field}\\b`);
      const [, index] = await this.frame(
        `a subscription to ${field}`,
        (frame) => frame.type === "subscribe" && name.test(frame.payload.query),
        from,
      );
      last = Math.max(last, index);
    }
    const [, ping] = await this.frame("a ping", (frame) => frame.sent && frame.type === "ping", last);
    await this.frame("a pong", (frame) => !frame.sent && frame.type === "pong", ping);
  }

  /** The payloads of a subscription that arrived, in their order. */
  // biome-ignore lint/suspicious/noExplicitAny: the shape depends on the operation
  received(field: string): any[] {
    return this.frames
      .filter((frame) => !frame.sent && frame.type === "next" && frame.payload.data?.[field])
      .map((frame) => frame.payload.data[field]);
  }

  /** Opens a login link and presses its button; returns the path that the browser ends on. */
  static async signIn(context: BrowserContext, link: string): Promise<string> {
    const { page } = await Tab.open(context, link);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.waitForURL((url) => !url.pathname.startsWith("/auth/"));
    const { pathname } = new URL(page.url());
    await page.close();
    return pathname;
  }

  /** Returns once an element matches `selector`. */
  async shows(selector: string): Promise<void> {
    await this.page.locator(selector).first().waitFor();
  }

  /** The value of an attribute of each element that matches, in document order. */
  all(selector: string, attribute: string): Promise<string[]> {
    return this.page
      .locator(selector)
      .evaluateAll((found, name) => found.map((element) => element.getAttribute(name) ?? ""), attribute);
  }

  text(selector: string): Promise<string> {
    return this.page.locator(selector).innerText();
  }
}
