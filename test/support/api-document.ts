/**
 * Holds replies of the API against the document that the gate gives of itself: a status that is not declared for a call,
 * or a body that is not of the declared shape, is wrong. So every test of the API is one of the document, too.
 */
import assert from 'node:assert/strict';
import { z } from '../../src/config/schema.ts';

interface Content {
  readonly content: Readonly<Record<string, { readonly schema: Record<string, unknown> }>>;
}

/** What is read of the document. */
export interface DocumentJson {
  readonly paths: Readonly<
    Record<
      string,
      Readonly<Record<string, { readonly responses: Readonly<Record<string, Content>> }>>
    >
  >;
  readonly components: { readonly schemas: { readonly Error: Record<string, unknown> } };
}

export class ApiDocument {
  readonly #document: DocumentJson;
  readonly #paths: readonly { readonly of: RegExp; readonly path: string }[];
  readonly #shapes = new Map<object, z.ZodType>();

  constructor(document: DocumentJson) {
    this.#document = document;
    this.#paths = Object.keys(document.paths).map((path) => ({
      path,
      of: new RegExp(`^${path.replace(/\{\w+\}/g, '[^/]+').replaceAll('.', '\\.')}$`),
    }));
  }

  /** Fails unless the document knows such an answer to this call; a call that it does not know is an error's. */
  check(method: string, target: string, status: number, json: unknown): void {
    const path = (target.split('?')[0] ?? '').replace(/\/{2,}/g, '/').replace(/(?<=.)\/$/, '');
    const known = this.#paths.find(({ of }) => of.test(path));
    const call = known && this.#document.paths[known.path]?.[method.toLowerCase()];
    const what = `${method} ${path}: ${status}`;
    if (!call) {
      this.#hold(this.#document.components.schemas.Error, json, what);
      return;
    }
    const response = call.responses[String(status)];
    assert.ok(response, `${what} is not in the document`);
    const schema = response.content['application/json']?.schema;
    if (schema === undefined) return;
    const isError = schema['$ref'] === '#/components/schemas/Error';
    this.#hold(isError ? this.#document.components.schemas.Error : schema, json, what);
  }

  #hold(schema: Record<string, unknown>, json: unknown, what: string): void {
    let shape = this.#shapes.get(schema);
    if (!shape) {
      shape = z.fromJSONSchema(schema);
      this.#shapes.set(schema, shape);
    }
    const result = shape.safeParse(json);
    if (result.success) return;
    assert.fail(`${what} is not as the document says: ${z.prettifyError(result.error)}`);
  }
}
