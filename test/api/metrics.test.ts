/**
 * `/metrics`: who may read it, by cookie and by HTTP Basic, and that its figures are those of the gate.
 */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { ApiGate, withAdmin } from '../support/api-gate.ts';
import { eventually } from '../support/eventually.ts';
import { startGate, targetOf } from '../support/gate.ts';
import { makeKey } from '../support/keys.ts';
import { hasOpenSsh, startOpenSsh } from '../support/openssh.ts';
import { ssh, startSsh } from '../support/ssh-client.ts';

const PASSWORD = 'a password of a watcher';

function basic(user: string, password: string): { headers: Record<string, string> } {
  const text = Buffer.from(`${user}:${password}`).toString('base64');
  return { headers: { Authorization: `Basic ${text}` } };
}

/** Series by name and labels; fails where a line is none. */
function seriesOf(text: string): Map<string, number> {
  const series = new Map<string, number>();
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('# ')) continue;
    const [, name = '', value] = /^([a-z_]+(?:\{[^}]*\})?) (\S+)$/.exec(line) ?? [];
    assert.ok(value !== undefined && Number.isFinite(Number(value)), line);
    series.set(name, Number(value));
  }
  return series;
}

suite('metrics', { skip: hasOpenSsh() ? false : 'no OpenSSH server' }, () => {
  test('they are for who may read the state of the gate, and they are true', async (t) => {
    const target = await startOpenSsh(t);
    const key = await makeKey(t);
    const stranger = await makeKey(t);
    const inventory = withAdmin({
      users: [
        { name: 'alice', keys: [key.publicLine], password: PASSWORD, groups: ['testers'] },
        { name: 'prometheus', password: PASSWORD, groups: ['watchers'] },
      ],
      groups: [{ name: 'testers' }, { name: 'watchers' }],
      targets: [targetOf('db1', target)],
      rules: [
        {
          ...{ name: 'all', groups: ['testers'], targets: ['db1'], accounts: [target.user] },
          channels: ['exec'],
        },
      ],
      acls: [{ group: 'watchers', objects: ['/special/basic'], permission: 'read' }],
    });
    const place = new ApiGate(await startGate(t, { inventory }));
    const nobody = place.client();
    assert.equal((await nobody.get('/metrics')).status, 401);
    assert.equal((await nobody.get('/metrics', basic('alice', PASSWORD))).status, 403);
    assert.equal((await nobody.get('/metrics', basic('prometheus', 'wrong'))).status, 401);
    // Basic is taken here alone.
    assert.equal((await nobody.get('/api/cluster', basic('prometheus', PASSWORD))).status, 401);

    const scrape = async (): Promise<Map<string, number>> => {
      const { status, bytes, headers } = await nobody.get(
        '/metrics',
        basic('prometheus', PASSWORD),
      );
      assert.equal(status, 200, bytes.toString());
      assert.equal(headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
      assert.equal(headers['set-cookie'], undefined, 'a scrape begins no session');
      return seriesOf(bytes.toString());
    };
    const first = await scrape();
    assert.equal(first.get('sallyport_live_sessions'), 0);
    assert.equal(first.get('sallyport_api_requests_total{method="GET",status="401"}'), 3);
    assert.equal(first.get('sallyport_api_requests_total{method="GET",status="403"}'), 1);
    assert.equal(first.get('sallyport_logins_total{door="api",outcome="failed"}'), 1);
    assert.equal(first.get('sallyport_logins_total{door="ssh",outcome="succeeded"}'), 0);

    const login = `alice@${target.user}@db1`;
    const to = place.gate.endpoint(login, { key: key.path });
    const session = startSsh(t, to, 'echo here; exec cat');
    await session.line(/here/);
    assert.equal((await ssh(place.gate.endpoint(login, { key: stranger.path }), 'true')).code, 255);
    const second = await scrape();
    assert.equal(second.get('sallyport_live_sessions'), 1);
    assert.equal(second.get('sallyport_logins_total{door="ssh",outcome="succeeded"}'), 1);
    assert.equal(second.get('sallyport_logins_total{door="ssh",outcome="failed"}'), 1);
    const most = second.get('sallyport_event_loop_delay_seconds{quantile="1"}') ?? 0;
    assert.ok(most > 0, 'the event loop was never late');
    session.stdin?.end();
    await session.exited;
    await eventually('the end', async () => (await scrape()).get('sallyport_live_sessions') === 0);
    const admin = await place.admin();
    assert.equal((await admin.get('/metrics')).status, 200);
  });
});
