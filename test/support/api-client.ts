/** A client of the API that keeps its cookie, as curl with a jar does; over real TLS, each reply held against the document. */
import { request } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { ApiDocument } from './api-document.ts';
import type { DocumentJson } from './api-document.ts';

export interface ApiReply {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly bytes: Buffer;
  /** The body as JSON; undefined if it is none. */
  readonly json: Reply;
}

/** A reply as tests look into it. */
export type Reply = {
  readonly [name: string]: Reply;
} & readonly Reply[] & { readonly toString: () => string };

export interface ApiRequest {
  readonly headers?: Readonly<Record<string, string>>;
  /** JSON, or the bytes of a body of another kind. */
  readonly body?: unknown;
  /** Cuts the connection, as the end of a client does. */
  readonly signal?: AbortSignal;
}

/** By the authority of a gate, which it alone has. */
const DOCUMENTS = new Map<string, Promise<ApiDocument>>();

export class ApiClient {
  readonly #address: string;
  readonly #ca: string | Buffer;
  cookie: string | undefined;

  constructor(address: string, ca: string | Buffer) {
    this.#address = address;
    this.#ca = ca;
  }

  login(user: string, password: string): Promise<ApiReply> {
    const basic = Buffer.from(`${user}:${password}`).toString('base64');
    return this.get('/api/authentication', { headers: { Authorization: `Basic ${basic}` } });
  }

  get(path: string, options?: ApiRequest): Promise<ApiReply> {
    return this.send('GET', path, options);
  }

  post(path: string, body?: unknown): Promise<ApiReply> {
    return this.send('POST', path, body === undefined ? {} : { body });
  }

  put(path: string, body: unknown): Promise<ApiReply> {
    return this.send('PUT', path, { body });
  }

  delete(path: string): Promise<ApiReply> {
    return this.send('DELETE', path);
  }

  /** Sends a request; the reply must be one that the gate's own document knows. */
  async send(method: string, path: string, options: ApiRequest = {}): Promise<ApiReply> {
    const reply = await this.#exchange(method, path, options);
    if (/^application\/json/.test(reply.headers['content-type'] ?? '')) {
      (await this.#document()).check(method, path, reply.status, reply.json);
    }
    return reply;
  }

  /** The document of a gate, asked for once. */
  #document(): Promise<ApiDocument> {
    const known = DOCUMENTS.get(this.#ca.toString());
    if (known) return known;
    const stranger = new ApiClient(this.#address, this.#ca);
    const asked = stranger
      .#exchange('GET', '/openapi.json', {})
      .then(({ bytes }) => new ApiDocument(JSON.parse(bytes.toString()) as DocumentJson));
    DOCUMENTS.set(this.#ca.toString(), asked);
    return asked;
  }

  #exchange(method: string, path: string, options: ApiRequest): Promise<ApiReply> {
    const { body, signal } = options;
    const raw = Buffer.isBuffer(body) || typeof body === 'string';
    const bytes =
      body === undefined ? Buffer.alloc(0) : Buffer.from(raw ? body : JSON.stringify(body));
    const headers: Record<string, string> = {
      ...(method === 'GET' || method === 'DELETE'
        ? {}
        : { 'Content-Length': String(bytes.length) }),
      ...(body === undefined || raw ? {} : { 'Content-Type': 'application/json' }),
      ...(this.cookie === undefined ? {} : { Cookie: `session_id=${this.cookie}` }),
      ...options.headers,
    };
    return new Promise((resolve, reject) => {
      const url = `https://${this.#address}${path}`;
      // The certificate is held against the address that was dialled, whatever Host says.
      const of = { ca: this.#ca, agent: false, servername: '', ...(signal && { signal }) };
      const sent = request(url, { method, headers, ...of }, (response) => {
        const pieces: Buffer[] = [];
        response.on('data', (piece: Buffer) => pieces.push(piece));
        response.on('error', reject);
        response.on('end', () => {
          this.#keep(response.headers['set-cookie'] ?? []);
          const all = Buffer.concat(pieces);
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            bytes: all,
            json: jsonOf(all),
          });
        });
      });
      sent.on('error', reject);
      sent.end(bytes);
    });
  }

  #keep(cookies: readonly string[]): void {
    const value = /^session_id=([^;]*)/.exec(cookies[0] ?? '')?.[1];
    if (value !== undefined) this.cookie = value === '' ? undefined : value;
  }
}

function jsonOf(bytes: Buffer): Reply {
  try {
    return JSON.parse(bytes.toString()) as Reply;
  } catch {
    return undefined as unknown as Reply;
  }
}
