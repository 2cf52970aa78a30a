/**
 * What becomes of an order to close a session, in every case of the contract (section 9): those of a cluster through the
 * interface that another node would be reached by, those of this process with its own table of connections.
 */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { LiveConnections } from '../../src/access/live.ts';
import type { LiveController } from '../../src/access/live.ts';
import { activeSessionsRoutes, localTerminator } from '../../src/api/active-sessions.ts';
import type { Ended, Terminator } from '../../src/api/active-sessions.ts';
import { ApiError } from '../../src/api/errors.ts';
import type { Call } from '../../src/api/route.ts';
import { AppError } from '../../src/base/errors.ts';
import { openLog } from '../../src/ops/log.ts';
import type { Log } from '../../src/ops/log.ts';

const ID = 'svc/rpokH8fD9kx6CaxNLznKx2/test:12';

function callOf(query: object): Call<unknown, unknown> {
  return {
    caller: {
      userId: '1',
      userName: 'ann',
      session: 's',
      mayChange: false,
      expiresMs: 0,
    },
    params: {},
    query,
    body: undefined,
    path: '/api/active-sessions',
    source: '192.0.2.1',
    headers: {},
    login: { begin: () => Promise.resolve(), end: () => undefined },
  };
}

function logTo(lines: string[]): Log {
  return openLog('info', { write: (line: string) => void lines.push(line) });
}

interface Asked {
  readonly session: string;
  readonly by: string;
  readonly reason: string;
}

/** Sends one order to a terminator that says this of it; what it was asked, what was answered, and the log. */
async function close(ended: Ended, query: object = { id: ID }) {
  const asked: Asked[] = [];
  const terminator: Terminator = {
    end: (session, order) => {
      asked.push({ session, ...order });
      return Promise.resolve(ended);
    },
  };
  const lines: string[] = [];
  const [route] = activeSessionsRoutes(terminator, logTo(lines));
  assert.ok(route);
  const answer = await route.handle(callOf(query)).catch((error: unknown) => error);
  return { asked, answer, lines };
}

suite('closing a session', () => {
  const cases: readonly (readonly [Exclude<Ended, 'closed'>, number, string])[] = [
    ['gone', 404, 'SessionCouldNotBeFound'],
    ['failed', 500, 'SessionTerminationFailed'],
    ['unknown-node', 500, 'RemoteNodeInfoMissing'],
    ['no-service', 503, 'SessionTerminationServiceUnavailable'],
    ['unavailable', 504, 'MinionUnavailable'],
  ];
  for (const [ended, status, type] of cases) {
    test(`${ended} is ${status} ${type}, and in the log`, async () => {
      const { answer, lines } = await close(ended);
      assert.ok(answer instanceof ApiError);
      assert.deepEqual([answer.status, answer.type], [status, type]);
      assert.deepEqual(answer.details, { id: ID });
      assert.equal(lines.length, 1);
      assert.match(lines[0] ?? '', new RegExp(`"by":"ann".*"ended":"${ended}"`));
    });
  }

  test('closed is the meta alone; the whole id, who and why go to whoever ends it', async () => {
    const { answer, asked } = await close('closed', { id: ID, reason: 'late' });
    assert.deepEqual(answer, { meta: { href: '/api/active-sessions', parent: '/api' } });
    assert.deepEqual(asked, [{ session: ID, by: 'ann', reason: 'late' }]);
  });

  test('without an id, or an empty one, nobody is asked', async () => {
    for (const query of [{}, { id: '' }]) {
      const { answer, asked } = await close('closed', query);
      assert.ok(answer instanceof ApiError);
      assert.deepEqual([answer.status, answer.type], [400, 'SessionIdMissing']);
      assert.deepEqual(asked, []);
    }
  });
});

suite('sessions of this process', () => {
  const order = { by: 'ann', reason: '' };
  const unused = (): never => {
    throw new Error('not asked');
  };

  test('one that runs is ended by its owner, and is gone afterwards', async () => {
    const live = new LiveConnections();
    const orders: unknown[] = [];
    const controller: LiveController = {
      describe: unused,
      terminate: (given) => {
        orders.push(given);
        live.remove('c1');
        return Promise.resolve();
      },
    };
    live.add('c1', controller);
    const connectionOf = (session: string) => Promise.resolve(session === ID ? 'c1' : undefined);
    const terminator = localTerminator({ live, log: logTo([]), connectionOf });
    assert.equal(await terminator.end('svc/another/test:1', order), 'gone');
    assert.deepEqual(orders, []);
    assert.equal(await terminator.end(ID, order), 'closed');
    assert.deepEqual(orders, [order]);
    assert.equal(await terminator.end(ID, order), 'gone');
  });

  test('an owner that fails, or does not answer in time, is a failure', async () => {
    const live = new LiveConnections(10);
    const never = new Promise<void>(() => undefined);
    const fails = (): Promise<void> => Promise.reject(new AppError('internal', 'broken'));
    live.add('fails', { describe: unused, terminate: fails });
    live.add('silent', { describe: unused, terminate: () => never });
    const lines: string[] = [];
    const connectionOf = (session: string) => Promise.resolve(session);
    const terminator = localTerminator({ live, log: logTo(lines), connectionOf });
    assert.equal(await terminator.end('fails', order), 'failed');
    assert.equal(await terminator.end('silent', order), 'failed');
    // The answer says that the log has why.
    for (const id of ['fails', 'silent']) {
      assert.ok(
        lines.some((line) => line.includes(`"connection":"${id}"`)),
        id,
      );
    }
  });
});
