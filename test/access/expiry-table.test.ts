/** The bounded table agrees with a plain one, at any order of calls. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ExpiryTable } from '../../src/access/expiry-table.ts';

test('full, it gives up what expires soonest, as a plain list would', () => {
  const step = fc.record({
    key: fc.nat(12),
    add: fc.integer({ min: 1, max: 40 }),
    wait: fc.nat(8),
  });
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 120 }),
      fc.integer({ min: 1, max: 6 }),
      (steps, max) => {
        const table = new ExpiryTable(max);
        const model = new Map<string, number>();
        let now = 0;
        for (const { key, add, wait } of steps) {
          now += wait;
          const name = String(key);
          // Times are made unique, so that there is one soonest.
          const until = (now + add) * 1000 + key;
          const known = model.get(name);
          if (known === undefined) {
            for (const [other, time] of model) if (time <= now * 1000) model.delete(other);
            if (model.size >= max) {
              const soonest = [...model].sort((a, b) => a[1] - b[1])[0]?.[0] ?? '';
              model.delete(soonest);
            }
          }
          model.set(name, Math.max(model.get(name) ?? 0, until));
          table.set(name, until, false, now * 1000);
          assert.ok(table.size <= max);
          for (let other = 0; other <= 12; other++) {
            const time = model.get(String(other));
            const live = time !== undefined && time > now * 1000 ? time : undefined;
            assert.equal(table.get(String(other), now * 1000)?.expiresUs, live);
          }
        }
      },
    ),
    { numRuns: 300 },
  );
});

test('an expired entry is as absent, and sets its mark anew', () => {
  const table = new ExpiryTable(3);
  table.set('a', 10, true, 0);
  assert.equal(table.get('a', 9)?.active, true);
  assert.equal(table.get('a', 10), undefined);
  table.set('a', 20, false, 11);
  assert.deepEqual([table.get('a', 11)?.expiresUs, table.get('a', 11)?.active], [20, false]);
});
