import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { stripTypeScriptTypes } from "node:module";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";

const ROOT = new URL("../../../", import.meta.url);
const PACKAGES = ["testing", "core", "ring", "devmem", "devmem-webgpu"] as const;
/** Without these a page has no SharedArrayBuffer. */
const ISOLATED = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

/** Names of packages to their sources, as their package.json says. */
function importMap(): string {
  const imports: Record<string, string> = {};
  for (const dir of PACKAGES) {
    const text = readFileSync(new URL(`packages/${dir}/package.json`, ROOT), "utf8");
    const { name, exports } = JSON.parse(text) as { name: string; exports: Record<string, string> };
    for (const [key, path] of Object.entries(exports)) {
      imports[`${name}${key.slice(1)}`] = `/packages/${dir}/${path.slice(2)}`;
    }
  }
  return JSON.stringify({ imports });
}

function page(script: string): string {
  return `<!doctype html><title>netmem</title><script type="importmap">${importMap()}</script>
<script type="module">${script}</script>`;
}

/** The answer to a path: the page, or a source without its types. Null for anything else. */
function fileOf(path: string, script: string): { readonly type: string; readonly text: string } | null {
  if (path === "/") return { type: "text/html", text: page(script) };
  if (!/^\/packages\/[a-z-]+\/(src|test)\/[\w/-]+\.ts$/.test(path)) return null;
  const text = readFileSync(fileURLToPath(new URL(`.${path}`, ROOT)), "utf8");
  return { type: "text/javascript", text: stripTypeScriptTypes(text) };
}

/** Serves the workspace's sources to a page that runs `script`; what the page posts goes to `receive`. */
export class PageServer {
  readonly server: Server;
  private readonly script: string;
  private readonly receive: (text: string) => void;

  constructor(script: string, receive: (text: string) => void) {
    this.script = script;
    this.receive = receive;
    this.server = createServer((request, response) => void this.answer(request, response));
  }

  /** Resolves with the page's address, of this machine alone. */
  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    return `http://localhost:${(this.server.address() as AddressInfo).port}/`;
  }

  close(): void {
    this.server.closeAllConnections();
    this.server.close();
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method === "POST") {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      response.end();
      return this.receive(Buffer.concat(chunks).toString());
    }
    const file = fileOf(request.url ?? "", this.script);
    if (file === null) return void response.writeHead(404).end();
    response.writeHead(200, { ...ISOLATED, "Content-Type": file.type }).end(file.text);
  }
}
