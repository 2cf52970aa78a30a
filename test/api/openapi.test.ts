/**
 * The OpenAPI document that the gate gives: it is valid, types made from it serve a client that is right and refuse one
 * that is wrong, and what it promises changes only where somebody says so.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import { startApiGate } from '../support/api-gate.ts';
import { check, run } from '../support/process.ts';
import { ManualScope } from '../support/scope.ts';
import { ROOT } from '../support/source-tree.ts';
import { tempDir } from '../support/tempdir.ts';

/** One line for each operation: method, path, and the statuses of its answers. `SALLYPORT_WRITE=1` writes it anew. */
const PROMISED = join(ROOT, 'test/contract/operations.txt');

interface Operation {
  readonly operationId: string;
  readonly responses: Readonly<Record<string, unknown>>;
}

/** What a client of the generated types needs: the types of one call, and a function that takes them. */
const CALL = `
import type { paths } from './api.d.ts';
type Method = 'get' | 'post' | 'put' | 'delete';
type Json<T> = T extends { content: { 'application/json': infer R } } ? R : never;
type Reply<O> = O extends { responses: infer R } ? Json<R[keyof R & (200 | 201)]> : never;
type Given<O> = O extends { parameters: { path?: infer P; query?: infer Q } } ? { path?: P; query?: Q } : never;
type Sent<O> = O extends { requestBody: { content: { 'application/json': infer B } } } ? { body: B } : { body?: never };
export declare function call<M extends Method, P extends { [K in keyof paths]: paths[K][M] extends object ? K : never }[keyof paths]>(
  method: M, path: P, ...given: object extends Sent<paths[P][M]> ? [Given<paths[P][M]>?] : [Given<paths[P][M]> & Sent<paths[P][M]>]
): Promise<Reply<paths[P][M]>>;
`;

const USERS = `'/api/configuration/aaa/local_database/users'`;
const SESSIONS = `'/api/audit/sessions'`;

/** What a client does every day. */
const RIGHT = [
  `const state: 'open' | 'closed' = (await call('post', '/api/transaction')).body.status;`,
  `const made: string = (await call('post', ${USERS}, { body: { name: 'x', password: null } })).key;`,
  `await call('put', '/api/transaction', { body: { status: 'commit', message: 'why' } });`,
  `const found = await call('get', ${SESSIONS}, { query: { q: 'active:true' } });`,
  `await call('delete', '/api/active-sessions', { query: { id: 'svc/x/y:1' } });`,
  `export const seen = [state, made, found];`,
];

/** Each is wrong by itself. */
const WRONG = [
  `await call('get', '/api/nowhere');`,
  `await call('put', '/api/info', { body: {} });`,
  `await call('post', ${USERS});`,
  `await call('post', ${USERS}, { body: { name: 7, password: null } });`,
  `await call('put', '/api/transaction', { body: { status: 'drop' } });`,
  `await call('get', ${SESSIONS}, { query: { query: 'active:true' } });`,
  `export const no = (await call('get', '/api/transaction')).body.state;`,
];

suite('the OpenAPI document', () => {
  const scope = new ManualScope();
  let text: string;
  let operations: { method: string; path: string; operation: Operation }[];
  before(async () => {
    const place = await startApiGate(scope);
    const { bytes, json } = await place.client().get('/openapi.json');
    text = bytes.toString();
    const paths = json['paths'] as unknown as Record<string, Record<string, Operation>>;
    operations = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ method, path, operation })),
    );
  });
  after(() => scope.end());

  test('it is valid OpenAPI 3.1', async () => {
    const validator = new Validator();
    const { valid, errors } = await validator.validate(JSON.parse(text) as Record<string, unknown>);
    assert.ok(valid, JSON.stringify(errors));
    assert.equal(validator.version, '3.1');
    const broken = JSON.parse(text) as { paths: Record<string, Record<string, object>> };
    broken.paths['/api/info'] = { get: { responses: 'none' } };
    assert.equal((await new Validator().validate(broken)).valid, false);
  });

  test('each operation has a name of its own', () => {
    const names = operations.map(({ operation }) => operation.operationId);
    assert.ok(names.length > 50);
    assert.deepEqual(
      names.filter((name, at) => names.indexOf(name) !== at),
      [],
    );
    for (const name of names) assert.match(name, /^[a-z]+[A-Za-z]*$/);
  });

  test('methods, paths and statuses are those that were promised', () => {
    const lines = operations.map(({ method, path, operation }) => {
      return `${method.toUpperCase()} ${path} ${Object.keys(operation.responses).join(' ')}`;
    });
    const now = `${lines.sort().join('\n')}\n`;
    if (process.env['SALLYPORT_WRITE'] === '1') writeFileSync(PROMISED, now);
    assert.equal(now, readFileSync(PROMISED, 'utf8'), 'is it meant? then SALLYPORT_WRITE=1');
  });

  test('types made from it take a client that is right, and refuse each call that is wrong', async (t) => {
    const folder = tempDir(t);
    const bin = join(ROOT, 'node_modules/.bin');
    writeFileSync(join(folder, 'api.json'), text);
    const types = join(folder, 'api.d.ts');
    const generator = join(ROOT, 'node_modules/openapi-typescript/bin/cli.js');
    await check([process.execPath, generator, join(folder, 'api.json'), '-o', types]);
    writeFileSync(join(folder, 'call.ts'), CALL);
    const importing = `import { call } from './call.ts';`;
    writeFileSync(join(folder, 'right.ts'), [importing, ...RIGHT, ''].join('\n'));
    writeFileSync(join(folder, 'wrong.ts'), [importing, ...WRONG, ''].join('\n'));
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');

    const compilerOptions = {
      ...{ noEmit: true, strict: true, target: 'es2024', module: 'nodenext', types: [] },
      allowImportingTsExtensions: true,
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions }));
    const tsc = [join(bin, 'tsc'), '--pretty', 'false'] as const;
    const told = await run(tsc, { cwd: folder, timeoutMs: 120_000 });
    const output = told.stdout.toString();
    const places = [...output.matchAll(/^(\S+)\((\d+),\d+\): error/gm)].map(([, file, line]) => {
      return `${file}:${line}`;
    });
    const wanted = WRONG.map((_, at) => `wrong.ts:${at + 2}`);
    assert.deepEqual([...new Set(places)], wanted, output);
  });
});
