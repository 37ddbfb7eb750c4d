// A han-server for one test run: its database, its secrets, and the commands of its operator.

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { randomBytes, randomInt } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { promisify } from "node:util";

const run = promisify(execFile);

/** The databases that every suite runs on. PostgreSQL's is left out where the run has no cluster. */
export const databases: readonly Database[] = [
  "SQLite",
  ...(process.env.HAN_TEST_PG ? (["PostgreSQL"] as const) : []),
];
export type Database = "SQLite" | "PostgreSQL";

function binary(name: string): string {
  const directory = process.env.HAN_BIN_DIR;
  if (!directory)
    throw new Error("HAN_BIN_DIR must name the directory of han-server: run script/lib/browser-tests");
  return join(directory, name);
}

/** A database of the cluster in `HAN_TEST_PG`, which a superuser's URL names. */
async function createDatabase(): Promise<{ url: string; drop: () => Promise<void> }> {
  const cluster = process.env.HAN_TEST_PG ?? "";
  const name = `han_browser_${randomBytes(6).toString("hex")}`;
  const execute = async (statement: string) => {
    await run(process.env.HAN_PSQL ?? "psql", [
      "--quiet",
      "--no-psqlrc",
      "--dbname",
      cluster,
      "--command",
      statement,
    ]);
  };
  await execute(`CREATE DATABASE ${name}`);
  const url = new URL(cluster);
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => execute(`DROP DATABASE ${name} WITH (FORCE)`) };
}

const START_TIMEOUT_MS = 30_000;

export class Server {
  readonly url: string;
  /** An API key of the user `ana`: read, sync:write. */
  key = "";
  #environment: NodeJS.ProcessEnv;
  #process: ChildProcess | undefined;
  #cleanUp: (() => Promise<unknown>)[];

  private constructor(port: number, environment: NodeJS.ProcessEnv, cleanUp: (() => Promise<unknown>)[]) {
    this.url = `http://127.0.0.1:${port}`;
    this.#environment = { ...environment, HAN_LISTEN: `127.0.0.1:${port}`, PUBLIC_URL: this.url };
    this.#cleanUp = cleanUp;
  }

  /**
   * Starts a server on an empty database, with a user `ana` and a key of hers. It serves the dashboard in `clientDir`, or
   * its own.
   */
  static async start(database: Database, clientDir?: string): Promise<Server> {
    const directory = await mkdtemp(join(tmpdir(), "han-browser-"));
    const cleanUp: (() => Promise<unknown>)[] = [() => rm(directory, { recursive: true, force: true })];
    const environment: NodeJS.ProcessEnv = {
      PATH: process.env.PATH,
      HOME: directory,
      HAN_DATA_DIR: join(directory, "data"),
      // Where script/coverage collects what ran.
      ...(process.env.LLVM_PROFILE_FILE && { LLVM_PROFILE_FILE: process.env.LLVM_PROFILE_FILE }),
      ...(clientDir && { HAN_CLIENT_DIR: clientDir }),
    };
    if (database === "PostgreSQL") {
      const { url, drop } = await createDatabase();
      cleanUp.unshift(drop);
      environment.DATABASE_URL = url;
      environment.KEK_SECRET = randomBytes(32).toString("base64");
      environment.JWT_SECRET = randomBytes(32).toString("base64");
    }
    // Below the ephemeral range, so that no outgoing connection has the port. Another server may have it.
    for (let attempt = 1; ; attempt++) {
      const server = new Server(randomInt(20_000, 32_000), environment, cleanUp);
      try {
        await server.serve();
      } catch (error) {
        if (attempt < 5 && String(error).includes("in use")) continue;
        await server.close();
        throw error;
      }
      const created = await server.command(
        "key",
        "create",
        "--user",
        "ana",
        "--team",
        "orchard",
        "--name",
        "tests",
      );
      server.key = created.match(/han_key_[0-9A-Za-z]+/)?.[0] ?? "";
      return server;
    }
  }

  /** Starts the process and returns once it is ready. */
  async serve(): Promise<void> {
    const child = spawn(binary("han-server"), ["serve"], {
      env: this.#environment,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#process = child;
    // The server ends with the tests, however they end.
    process.once("exit", () => child.kill("SIGKILL"));
    const log: string[] = [];
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve, reject) => {
      const failed = (what: string) => reject(new Error(`han-server ${what}:\n${log.slice(-20).join("\n")}`));
      timer = setTimeout(() => failed("does not listen"), START_TIMEOUT_MS);
      for (const input of [child.stdout, child.stderr]) {
        createInterface({ input }).on("line", (line) => {
          log.push(line);
          if (line.includes("listening on")) resolve();
        });
      }
      child.once("error", reject);
      child.once("exit", (code) => failed(`ended with ${code}`));
    }).finally(() => clearTimeout(timer));
    const response = await fetch(`${this.url}/ready`);
    if (!response.ok) throw new Error(`han-server is not ready: ${await response.text()}`);
  }

  /** Stops the process. Its data stay, so `serve` continues where it stopped. */
  async stop(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (!child || child.exitCode !== null) return;
    child.kill("SIGTERM");
    await once(child, "exit");
  }

  /** Stops the process and deletes its data. */
  async close(): Promise<void> {
    await this.stop();
    for (const step of this.#cleanUp) await step();
  }

  /** Runs a command of han-server on this server's database; returns what it printed. */
  async command(...args: string[]): Promise<string> {
    const { stdout } = await run(binary("han-server"), args, { env: this.#environment });
    return stdout;
  }

  /** Changes the database itself. The process must be stopped. */
  async execute(statements: string): Promise<void> {
    const url = this.#environment.DATABASE_URL;
    if (url) {
      const options = ["--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--dbname", url];
      await run(process.env.HAN_PSQL ?? "psql", [...options, "--command", statements]);
      return;
    }
    const database = new DatabaseSync(join(this.#environment.HAN_DATA_DIR ?? "", "han.db"));
    database.exec(statements);
    database.close();
  }

  /** A link that signs a user in once. */
  async loginLink(user = "ana"): Promise<string> {
    const printed = await this.command("login-link", "--user", user);
    const link = printed.match(/https?:\/\/\S+/)?.[0];
    if (!link) throw new Error(`no link in: ${printed}`);
    return link;
  }

  /** Pushes every transcript under `directory` as a developer's machine does. */
  async push(directory: string): Promise<void> {
    const environment = { ...this.#environment, HAN_URL: this.url, HAN_API_KEY: this.key };
    await run(binary("han-coordinator"), ["push", directory], { env: environment });
  }
}
