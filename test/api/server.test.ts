/** The certificate of a server that runs can be changed: who connects then sees the new one. */
import assert from 'node:assert/strict';
import { connect } from 'node:tls';
import { once } from 'node:events';
import { test } from 'node:test';
import { join } from 'node:path';
import { listenHttps } from '../../src/api/server.ts';
import { parseConfig } from '../../src/config/config.ts';
import { createTls, loadTls, secureOptions } from '../../src/vault/tls.ts';
import { defer } from '../support/scope.ts';
import { tempDir } from '../support/tempdir.ts';

test('a server that runs shows another certificate', async (t) => {
  const config = parseConfig('', 'sallyport.yaml');
  const made = async () => {
    const dir = tempDir(t);
    await createTls(join(dir, 'tls'), ['localhost', '127.0.0.1'], Date.now());
    return secureOptions(await loadTls(dir, config, 'localhost', Date.now()));
  };
  const [first, second] = [await made(), await made()];
  const running = await listenHttps((_, response) => response.end(), first, {
    host: '127.0.0.1',
    port: 0,
  });
  defer(t, () => running.close());
  const [host = '', port = ''] = running.address.split(':');
  const shown = async (): Promise<string> => {
    const socket = connect({ host, port: Number(port), rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    const { fingerprint256 } = socket.getPeerCertificate();
    socket.destroy();
    return fingerprint256;
  };
  const before = await shown();
  assert.equal(await shown(), before);
  running.useCertificate(second);
  assert.notEqual(await shown(), before);
});
