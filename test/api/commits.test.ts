/**
 * Many who change the configuration at once, some of whom drop, log out or are killed in the middle: each commit is one
 * client's changes and all of them, none that was confirmed is lost, and a lock ends with its session. The same when the
 * gate itself is killed.
 */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { ApiClient } from '../support/api-client.ts';
import { startApiGate } from '../support/api-gate.ts';
import type { ApiGate } from '../support/api-gate.ts';
import { each } from '../support/each.ts';
import { eventually } from '../support/eventually.ts';
import { rounds, seeded } from '../support/scale.ts';
import type { Scope } from '../support/scope.ts';
import { withSettings } from '../support/settings.ts';

const GROUPS = '/api/configuration/aaa/local_database/groups';
const TARGETS = '/api/configuration/policies/targets';
const TRANSACTION = '/api/transaction';
const PASSWORD = 'a password of a changer';
const FIRST_PORT = 1000;

interface Change {
  readonly action: string;
  readonly kind: string;
  readonly name: string;
  readonly after?: { readonly port?: number };
}
interface Commit {
  readonly number: number;
  readonly author: string;
  readonly message: string;
  readonly changes: readonly Change[];
}

/** What a client was about to commit, and what it knows of that. */
interface Plan {
  readonly author: string;
  readonly changes: readonly string[];
  outcome: 'confirmed' | 'unknown' | 'dropped';
}

/** A gate with so many users who may change groups and targets; hashing is cheap. */
function startPlace(scope: Scope, users: number): Promise<ApiGate> {
  return startApiGate(scope, {
    configure: withSettings({ passwords: { memory_kib: 8192, passes: 1 } }),
    inventory: {
      users: Array.from({ length: users }, (_, at) => ({
        name: `user${at}`,
        password: PASSWORD,
        groups: ['changers'],
      })),
      groups: [{ name: 'changers' }],
      targets: [
        {
          name: 'counter',
          address: '192.0.2.1',
          port: FIRST_PORT,
          host_key_policy: 'accept-new',
        },
      ],
      acls: [
        { group: 'changers', objects: ['/special/auth', '/special/pol'], permission: 'write' },
      ],
    },
  });
}

async function ok(reply: Promise<{ status: number; bytes: Buffer }>): Promise<void> {
  const { status, bytes } = await reply;
  assert.ok(status === 200 || status === 201, bytes.toString());
}

/** One who changes the configuration, turn after turn. */
class Changer {
  readonly name: string;
  readonly plans = new Map<string, Plan>();
  api: ApiClient;
  #own: { readonly key: string; readonly name: string }[] = [];
  #before: { readonly key: string; readonly name: string }[] = [];

  constructor(name: string, api: ApiClient) {
    this.name = name;
    this.api = api;
  }

  async open(everyMs: number): Promise<void> {
    await eventually(
      'its turn',
      async () => {
        const { status, json, bytes } = await this.api.post(TRANSACTION);
        if (status === 200) return true;
        assert.equal(json['error']?.['type'], 'ConfigurationLocked', bytes.toString());
        return undefined;
      },
      { everyMs, ms: 240_000 },
    );
  }

  /** Two groups come, the two of before go, and the counter is one more. */
  async change(message: string): Promise<Plan> {
    this.#before = this.#own;
    const items = (await this.api.get(TARGETS)).json['items'] as unknown as {
      key: string;
      body: { port: number };
    }[];
    const [target] = items;
    assert.ok(target);
    const counted = { ...target.body, port: target.body.port + 1 };
    await ok(this.api.put(`${TARGETS}/${target.key}`, counted));
    const changes = [`changed target counter ${counted.port}`];
    for (const { key, name } of this.#before) {
      await ok(this.api.delete(`${GROUPS}/${key}`));
      changes.push(`removed group ${name}`);
    }
    this.#own = [];
    for (const half of ['a', 'b']) {
      const name = `${message}-${half}`;
      const { status, json, bytes } = await this.api.post(GROUPS, { name, members: [] });
      assert.equal(status, 201, bytes.toString());
      this.#own.push({ key: String(json['key']), name });
      changes.push(`created group ${name}`);
    }
    const plan: Plan = { author: this.name, changes: changes.sort(), outcome: 'unknown' };
    this.plans.set(message, plan);
    return plan;
  }

  async commit(message: string, plan: Plan): Promise<void> {
    await ok(this.api.put(TRANSACTION, { status: 'commit', message }));
    plan.outcome = 'confirmed';
  }

  /** Nothing came of the turn. */
  undo(plan: Plan): void {
    plan.outcome = 'dropped';
    this.#own = this.#before;
  }

  /** Takes what is there for its own, when it does not know what became of its commit. */
  async look(message: string): Promise<void> {
    const there = await groupsOf(this.api);
    if (!there.some(({ name }) => name === `${message}-a`)) this.#own = this.#before;
  }
}

async function groupsOf(api: ApiClient): Promise<{ key: string; name: string }[]> {
  const { json, status, bytes } = await api.get(GROUPS);
  assert.equal(status, 200, bytes.toString());
  const items = json['items'] as unknown as { key: string; body: { name: string } }[];
  return items.map(({ key, body }) => ({ key, name: body.name }));
}

/** Groups come and go in pairs. */
function assertPaired(names: readonly string[]): void {
  const all = new Set(names);
  for (const name of all) {
    const [, turn, half] = /^(.*)-([ab])$/.exec(name) ?? [];
    if (turn === undefined) continue;
    assert.ok(all.has(`${turn}-${half === 'a' ? 'b' : 'a'}`), `only half of ${turn} is there`);
  }
}

async function commitsOf(admin: ApiClient): Promise<Commit[]> {
  const found: Commit[] = [];
  let path: string | null = '/api/audit/changes?limit=500';
  while (path !== null) {
    const { json } = await admin.get(path);
    found.push(...(json['items'] as unknown as { body: Commit }[]).map(({ body }) => body));
    path = json['meta']?.['next'] as unknown as string | null;
  }
  return found.reverse();
}

/** Each commit of a plan is that plan and nothing else, none that was confirmed is missing, and they make the state. */
async function assertWhole(place: ApiGate, changers: readonly Changer[]): Promise<number> {
  const plans = new Map(changers.flatMap((changer) => [...changer.plans]));
  const admin = await place.admin();
  const seen = new Set<string>();
  const groups = new Set<string>();
  let port = FIRST_PORT;
  for (const { author, message, changes } of await commitsOf(admin)) {
    const plan = plans.get(message);
    if (!plan) {
      assert.ok(!author.startsWith('user'), `${author} committed what nobody planned: ${message}`);
      continue;
    }
    assert.ok(!seen.has(message), `${message} is there twice`);
    seen.add(message);
    assert.equal(author, plan.author);
    const told = changes.map(({ action, kind, name, after }) =>
      kind === 'target' ? `${action} ${kind} ${name} ${after?.port}` : `${action} ${kind} ${name}`,
    );
    assert.deepEqual(told.sort(), plan.changes);
    assert.ok(plan.changes.includes(`changed target counter ${++port}`), 'a count was lost');
    for (const { action, kind, name } of changes) {
      if (kind !== 'group') continue;
      if (action === 'created') groups.add(name);
      else groups.delete(name);
    }
  }
  for (const [message, { outcome }] of plans) {
    if (outcome === 'confirmed') assert.ok(seen.has(message), `${message} was lost`);
    if (outcome === 'dropped') assert.ok(!seen.has(message), `${message} was dropped`);
  }
  const there = (await groupsOf(admin)).map(({ name }) => name);
  const ours = there.filter((name) => /-[ab]$/.test(name));
  assert.deepEqual(ours.sort(), [...groups].sort());
  assert.match(await place.gate.text(['audit', 'verify']), /in agreement with \d+ heads/);
  return seen.size;
}

suite('commits', () => {
  test('many at once: no commit is lost or mixed, and a lock ends with its session', async (t) => {
    const random = seeded('commits');
    const count = rounds(50, 8);
    const place = await startPlace(t, count);
    const changers: Changer[] = [];
    await each([...Array(count).keys()], 4, async (at) => {
      changers.push(new Changer(`user${at}`, await place.as(`user${at}`, PASSWORD)));
    });
    let applied: Promise<void> = Promise.resolve();
    const disable = (name: string): Promise<void> => {
      applied = applied.then(async () => {
        const { code, stderr } = await place.gate.apply({ users: [{ name, disabled: true }] });
        assert.equal(code, 0, stderr.toString());
      });
      return applied;
    };
    const ends = { commit: 0, drop: 0, logout: 0, kill: 0 };
    const play = async (changer: Changer, turn: number): Promise<'gone' | undefined> => {
      const message = `${changer.name}.${turn}`;
      await changer.open(10 * count);
      const plan = await changer.change(message);
      const isKilled = turn > 0 && random.int(0, 9) === 0;
      const how = isKilled
        ? 'kill'
        : random.pick(['commit', 'commit', 'commit', 'drop', 'logout'] as const);
      ends[how]++;
      if (how === 'commit') await changer.commit(message, plan);
      if (how === 'drop') {
        await ok(changer.api.delete(TRANSACTION));
        changer.undo(plan);
      }
      if (how === 'logout') {
        await ok(changer.api.delete('/api/authentication'));
        changer.undo(plan);
        changer.api = await place.as(changer.name, PASSWORD);
      }
      if (how !== 'kill') return undefined;
      if (random.int(0, 1) === 0) {
        // In the middle of its commit.
        const cut = new AbortController();
        const body = { status: 'commit', message };
        const sent = changer.api.send('PUT', TRANSACTION, { body, signal: cut.signal });
        sent.catch(() => undefined);
        await delay(random.int(0, 15));
        cut.abort();
      } else {
        plan.outcome = 'dropped';
        const { status } = await (await place.admin()).post(TRANSACTION);
        assert.equal(status, 409, 'a lock lives as long as its session');
      }
      await disable(changer.name);
      return 'gone';
    };
    const over = new AbortController();
    const watching = (async () => {
      const admin = await place.admin();
      while (!over.signal.aborted) {
        assertPaired((await groupsOf(admin)).map(({ name }) => name));
        await delay(100);
      }
    })();
    await Promise.all(
      changers.map(async (changer) => {
        for (let turn = 0; turn < rounds(10, 3); turn++) {
          if ((await play(changer, turn)) === 'gone') return;
        }
      }),
    ).finally(() => over.abort());
    await watching;
    const whole = await assertWhole(place, changers);
    assert.ok(whole >= ends.commit && whole <= ends.commit + ends.kill, JSON.stringify(ends));
    await ok((await place.admin()).post(TRANSACTION));
  });

  test('a gate killed in the middle has each commit as a whole or not at all', async (t) => {
    const random = seeded('killed commits');
    const place = await startPlace(t, 1);
    const changer = new Changer('user0', await place.as('user0', PASSWORD));
    const count = rounds(200, 6);
    const kills = Math.max(2, Math.round(count / 10));
    const at = new Set(
      Array.from({ length: kills }, (_, nth) => Math.floor((nth * count) / kills)),
    );
    for (let turn = 0; turn < count; turn++) {
      const message = `turn${turn}`;
      await changer.open(50);
      const plan = await changer.change(message);
      if (!at.has(turn)) {
        await changer.commit(message, plan);
        continue;
      }
      const sent = changer.commit(message, plan).catch(() => undefined);
      await delay(random.int(0, 15));
      await place.gate.kill9();
      await sent;
      await place.gate.restart();
      changer.api = await place.as('user0', PASSWORD);
      await changer.look(message);
      await assertWhole(place, [changer]);
    }
    assert.ok((await assertWhole(place, [changer])) >= count - kills);
  });
});
