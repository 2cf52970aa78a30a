/**
 * The certificate of the console and API: made so that OpenSSL in its strictest mode, curl, Node and Python accept it,
 * renewed when it is time, and refused with file and remedy when it does not fit together.
 */
import assert from 'node:assert/strict';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { createServer, get } from 'node:https';
import type { ServerOptions } from 'node:https';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { AppError } from '../../src/base/errors.ts';
import { parseConfig } from '../../src/config/config.ts';
import { createTls, loadTls, secureOptions, serverNames } from '../../src/vault/tls.ts';
import type { Tls } from '../../src/vault/tls.ts';
import { check, run } from '../support/process.ts';
import { defer } from '../support/scope.ts';
import type { Scope } from '../support/scope.ts';
import { tempDir } from '../support/tempdir.ts';

const DAY = 86_400_000;
const NOW = Date.now();
const HOST = 'gate1';
const CONFIG = parseConfig('listen: { https: "gate.example:8443" }', 'x');
const NAMES = serverNames(CONFIG, HOST);

interface Made {
  readonly dir: string;
  readonly file: (name: string) => string;
  readonly text: (name: string) => string;
}

/** A DIR whose certificate was made at that time. */
async function made(t: Scope, atMs: number = NOW, names = NAMES): Promise<Made> {
  const dir = tempDir(t);
  const file = (name: string): string => join(dir, 'tls', name);
  await createTls(join(dir, 'tls'), names, atMs);
  return { dir, file, text: (name) => readFileSync(file(name), 'latin1') };
}

/** A server that answers everything with `hello`; returns its port. */
async function served(t: Scope, tls: Tls, changed: ServerOptions = {}): Promise<number> {
  const server = createServer({ ...secureOptions(tls), ...changed }, (_, response) =>
    response.end('hello'),
  );
  defer(t, async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** Fails unless loading is refused with that code, the file, and the words. */
async function refused(
  loading: Promise<Tls>,
  code: string,
  path: string,
  words: RegExp,
): Promise<void> {
  await assert.rejects(loading, (error) => {
    assert.ok(error instanceof AppError, String(error));
    assert.equal(error.code, code, error.message);
    assert.ok(error.message.includes(path), `${path} is not in: ${error.message}`);
    assert.match(error.message, words);
    return true;
  });
}

const verify = (ca: string, cert: string, ...more: readonly string[]): Promise<string> =>
  check(['openssl', 'verify', '-x509_strict', '-CAfile', ca, ...more, cert]);

test('OpenSSL in its strictest mode takes authority and certificate, for every name', async (t) => {
  const { file } = await made(t);
  await verify(file('ca.pem'), file('ca.pem'), '-check_ss_sig');
  for (const name of ['localhost', 'gate1', 'gate.example']) {
    const flags = ['-purpose', 'sslserver', '-verify_hostname', name];
    assert.match(await verify(file('ca.pem'), file('cert.pem'), ...flags), /OK/);
  }
  for (const ip of ['127.0.0.1', '::1']) {
    await verify(file('ca.pem'), file('cert.pem'), '-purpose', 'sslserver', '-verify_ip', ip);
  }
  const other = ['openssl', 'verify', '-CAfile', file('ca.pem')] as const;
  const no = await run([...other, '-verify_hostname', 'other.example', file('cert.pem')]);
  assert.match(no.stderr.toString(), /hostname mismatch/);
  const client = await run([...other, '-purpose', 'sslclient', file('cert.pem')]);
  assert.match(client.stderr.toString(), /unsuitable certificate purpose/);
});

test('authority and certificate say what they are for, how long, and under new numbers', async (t) => {
  const one = await made(t);
  const two = await made(t);
  const [ca1, ca2, leaf1, leaf2] = [
    ...['ca.pem', 'cert.pem'].flatMap((name) => [one.text(name), two.text(name)]),
  ].map((text) => new X509Certificate(text));
  assert.ok(ca1 && ca2 && leaf1 && leaf2);
  const serials = [ca1, ca2, leaf1, leaf2].map(({ serialNumber }) => serialNumber);
  assert.equal(new Set(serials).size, 4);
  for (const serial of serials) assert.ok(serial.length >= 28 && serial.length <= 40, serial);
  assert.notEqual(ca1.subject, ca2.subject, 'authorities of two gates have one name');
  const days = (cert: X509Certificate): number =>
    Math.round((cert.validToDate.getTime() - cert.validFromDate.getTime()) / DAY);
  assert.deepEqual([days(ca1), days(leaf1)], [3653, 397]);
  assert.ok(ca1.validFromDate.getTime() < NOW - DAY / 48, 'a clock that is behind refuses it');
  assert.deepEqual([ca1.ca, leaf1.ca], [true, false]);
  const text = await check(['openssl', 'x509', '-noout', '-text', '-in', one.file('ca.pem')]);
  assert.match(text, /Basic Constraints: critical\s+CA:TRUE, pathlen:0/);
  assert.match(text, /Key Usage: critical\s+Certificate Sign, CRL Sign/);
  const leaf = await check(['openssl', 'x509', '-noout', '-text', '-in', one.file('cert.pem')]);
  assert.match(leaf, /Key Usage: critical\s+Digital Signature\n/);
  assert.match(leaf, /Extended Key Usage: \s*TLS Web Server Authentication\n/);
  assert.match(leaf, /NIST CURVE: P-256/);
});

test('certificates made when their authority ends after 2050 are right too', async (t) => {
  const then = Date.UTC(2049, 6, 1);
  const { file } = await made(t, then);
  await verify(file('ca.pem'), file('cert.pem'), '-attime', String(then / 1000));
  const cert = new X509Certificate(readFileSync(file('cert.pem')));
  assert.equal(cert.validToDate.getUTCFullYear(), 2050);
});

test('curl, Node and Python take it from a server, and only with the authority', async (t) => {
  const { dir, file, text } = await made(t);
  const tls = await loadTls(dir, CONFIG, HOST, NOW);
  assert.equal(tls.done, 'loaded');
  const port = await served(t, tls);
  const to = ['--connect-to', `::127.0.0.1:${port}`];
  const curl = ['curl', '-sS', '--noproxy', '*', ...to] as const;
  for (const host of ['localhost', '127.0.0.1', '[::1]', 'gate1', 'gate.example']) {
    const url = `https://${host}:${port}/`;
    assert.equal(await check([...curl, '--cacert', file('ca.pem'), url]), 'hello', host);
  }
  const stranger = await run([...curl, `https://localhost:${port}/`]);
  assert.equal(stranger.code, 60, 'taken without its authority');
  const wrong = [...curl, '--cacert', file('ca.pem'), `https://other.example:${port}/`] as const;
  assert.equal((await run(wrong)).code, 60, 'taken for another name');

  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  get({ host: '127.0.0.1', port, ca: text('ca.pem'), agent: false }, resolve).on('error', reject);
  assert.equal(Buffer.concat(await (await promise).toArray()).toString(), 'hello');

  const python = [
    'import socket, ssl, sys',
    'context = ssl.create_default_context(cafile=sys.argv[1])',
    'context.verify_flags |= ssl.VERIFY_X509_STRICT',
    'for name in ("localhost", "127.0.0.1", "::1", "gate.example"):',
    '    plain = socket.create_connection(("127.0.0.1", int(sys.argv[2])))',
    '    with context.wrap_socket(plain, server_hostname=name) as peer: print(peer.version())',
  ].join('\n');
  const versions = await check(['python3', '-c', python, file('ca.pem'), String(port)]);
  assert.equal(versions, 'TLSv1.3\n'.repeat(4));
});

test('TLS 1.2 and 1.3 with authenticated ciphers are served, and nothing older', async (t) => {
  const { dir, file } = await made(t);
  const tls = await loadTls(dir, CONFIG, HOST, NOW);
  // The list of ciphers keeps old versions out already: the limit itself shows where it allows all.
  const lax = await served(t, tls, { ciphers: 'ALL:@SECLEVEL=0' });
  let port = await served(t, tls);
  const connect = async (...flags: readonly string[]): Promise<string> => {
    const args = ['-connect', `127.0.0.1:${port}`, '-CAfile', file('ca.pem'), ...flags];
    const { stdout, stderr } = await run(['openssl', 's_client', ...args]);
    return stdout.toString() + stderr.toString();
  };
  for (const [flag, cipher] of [
    ['-tls1_3', 'TLS_AES_128_GCM_SHA256'],
    ['-tls1_2', 'ECDHE-ECDSA-AES128-GCM-SHA256'],
  ] as const) {
    const said = await connect(flag);
    assert.match(said, /Verify return code: 0 \(ok\)/, flag);
    assert.ok(said.includes(`Cipher is ${cipher}`), said);
  }
  const old = ['-cipher', 'ALL:@SECLEVEL=0'] as const;
  assert.match(await connect('-tls1_1', ...old), /alert protocol version/);
  assert.match(await connect('-tls1_2', '-cipher', 'ECDHE-ECDSA-AES128-SHA'), /alert handshake/);
  port = lax;
  assert.match(await connect('-tls1_2', ...old), /Verify return code: 0/);
  assert.match(await connect('-tls1_1', ...old), /alert protocol version/);
});

test('a folder without certificates gets them, private to its owner', async (t) => {
  const umask = process.umask(0o077);
  defer(t, () => void process.umask(umask));
  for (const exists of [false, true]) {
    const dir = tempDir(t);
    if (exists) mkdirSync(join(dir, 'tls'), { mode: 0o700 });
    const tls = await loadTls(dir, CONFIG, HOST, NOW);
    assert.equal(tls.done, 'made');
    const mode = (name: string): number => statSync(join(dir, 'tls', name)).mode & 0o777;
    assert.deepEqual(readdirSync(join(dir, 'tls')).sort(), [
      'ca-key.pem',
      'ca.pem',
      'cert.pem',
      'key.pem',
    ]);
    assert.equal(mode('.'), 0o700);
    assert.deepEqual(['ca-key.pem', 'key.pem'].map(mode), [0o600, 0o600]);
    assert.deepEqual(['ca.pem', 'cert.pem'].map(mode), [0o644, 0o644]);
    const again = await loadTls(dir, CONFIG, HOST, NOW);
    assert.deepEqual([again.done, again.certificate], ['loaded', tls.certificate]);
    const ca = readFileSync(join(dir, 'tls/ca.pem'), 'latin1');
    assert.equal(tls.authority, new X509Certificate(ca).fingerprint256);
    assert.ok(tls.certificate.endsWith(ca), 'the chain lacks the authority');
  }
});

test('an authority that is there is never made again', async (t) => {
  const { dir, text } = await made(t);
  const before = text('ca.pem');
  await assert.rejects(createTls(join(dir, 'tls'), NAMES, NOW), /ca\.pem is there; move it away/);
  assert.equal(text('ca.pem'), before);
});

test('less than 30 days before its end the certificate is renewed, by the same authority', async (t) => {
  for (const [age, renews] of [
    [366, false],
    [368, true],
    [500, true],
  ] as const) {
    const { dir, file, text } = await made(t, NOW - age * DAY);
    const [ca, key, cert] = ['ca.pem', 'key.pem', 'cert.pem'].map(text);
    const tls = await loadTls(dir, CONFIG, HOST, NOW);
    assert.equal(tls.done, renews ? 'renewed' : 'loaded', `after ${age} days`);
    assert.deepEqual([text('ca.pem'), text('key.pem')], [ca, key]);
    assert.equal(text('cert.pem') !== cert, renews);
    assert.equal(tls.certificate, text('cert.pem'));
    if (!renews) continue;
    assert.ok(tls.endMs > NOW + 396 * DAY, 'not for a year');
    await verify(file('ca.pem'), file('cert.pem'), '-verify_hostname', 'gate1');
    assert.equal((await loadTls(dir, CONFIG, HOST, NOW)).done, 'loaded');
  }
});

test('a certificate never outlives its authority, and is not renewed in vain', async (t) => {
  const { dir, file } = await made(t, NOW - 3640 * DAY);
  const tls = await loadTls(dir, CONFIG, HOST, NOW);
  assert.equal(tls.done, 'renewed');
  const ca = new X509Certificate(readFileSync(file('ca.pem')));
  assert.equal(tls.endMs, ca.validToDate.getTime());
  const again = await loadTls(dir, CONFIG, HOST, NOW);
  assert.equal(again.done, 'loaded');
  const later = NOW + 20 * DAY;
  await refused(loadTls(dir, CONFIG, HOST, later), 'dir-invalid', 'ca.pem', /expired on .*; move/);
});

test('a name that the certificate lacks is renewed into it', async (t) => {
  const { dir, file } = await made(t);
  const config = parseConfig('listen: { https: "[fd00::0:7]:443" }', 'x');
  const tls = await loadTls(dir, config, 'Gate2.Example.', NOW);
  assert.equal(tls.done, 'renewed');
  await verify(file('ca.pem'), file('cert.pem'), '-verify_ip', 'fd00::7');
  await verify(file('ca.pem'), file('cert.pem'), '-verify_hostname', 'gate2.example');
  assert.equal((await loadTls(dir, config, 'Gate2.Example.', NOW)).done, 'loaded');
});

test('names are those of the host and the address, without what is none', () => {
  const names = (https: string, host: string): readonly string[] =>
    serverNames(parseConfig(`listen: { https: "${https}" }`, 'x'), host).slice(3);
  assert.deepEqual(names('127.0.0.1:1', 'localhost'), []);
  assert.deepEqual(names('0.0.0.0:1', 'vm'), ['vm']);
  assert.deepEqual(names('[::]:1', 'VM.example.'), ['vm.example']);
  assert.deepEqual(names('[0:0::0]:1', 'my_host'), ['my_host']);
  assert.deepEqual(names('[0:0::1]:1', 'bad host'), []);
  assert.deepEqual(names('10.0.0.7:1', '-x'), ['10.0.0.7']);
  assert.deepEqual(names('[FD00:0::7]:1', '10.1.1.1'), ['10.1.1.1', 'fd00::7']);
  assert.deepEqual(names('gate:1', 'x'.repeat(64)), ['gate']);
});

test('without the key of the authority it serves on until the end, and says so', async (t) => {
  const { dir, file } = await made(t, NOW - 380 * DAY);
  rmSync(file('ca-key.pem'));
  const tls = await loadTls(dir, CONFIG, HOST, NOW);
  assert.equal(tls.done, 'loaded');
  assert.match(tls.warning ?? '', /cert\.pem ends on .*ca-key\.pem is not there.*restore it/);
  const later = NOW + 30 * DAY;
  await refused(loadTls(dir, CONFIG, HOST, later), 'dir-invalid', 'ca-key.pem', /restore it/);
});

test('what a crash of the first start left is finished', async (t) => {
  const { dir, file, text } = await made(t);
  rmSync(file('cert.pem'));
  const key = text('key.pem');
  writeFileSync(file('cert.pem.new'), 'half a certif');
  assert.equal((await loadTls(dir, CONFIG, HOST, NOW)).done, 'renewed');
  assert.equal(text('key.pem'), key);
  for (const name of ['cert.pem', 'key.pem']) rmSync(file(name));
  assert.equal((await loadTls(dir, CONFIG, HOST, NOW)).done, 'renewed');
  await verify(file('ca.pem'), file('cert.pem'));
  assert.ok(!existsSync(file('cert.pem.new')));
});

test('what does not fit together in the folder is refused, with remedy, and stays', async (t) => {
  const stranger = await made(t);
  const broken: [(gate: Made) => void, string, RegExp][] = [
    [({ file }) => copy(stranger.file('key.pem'), file('key.pem')), 'key.pem', /not the key of/],
    [
      ({ file }) => copy(stranger.file('ca-key.pem'), file('ca-key.pem')),
      'ca-key.pem',
      /not the key of .*ca\.pem; restore/,
    ],
    [
      ({ file }) => {
        for (const name of ['cert.pem', 'key.pem']) copy(stranger.file(name), file(name));
      },
      'cert.pem',
      /was not issued by .*tls\.cert and tls\.key/,
    ],
    [
      ({ file }) => {
        const { raw } = new X509Certificate(readFileSync(file('cert.pem')));
        raw.writeUInt8(raw.readUInt8(raw.length - 1) ^ 1, raw.length - 1);
        const [head, tail] = ['BEGIN', 'END'].map((word) => `-----${word} CERTIFICATE-----`);
        writeFileSync(file('cert.pem'), [head, raw.toString('base64'), tail].join('\n'));
      },
      'cert.pem',
      /was not issued by/,
    ],
    [({ file }) => rmSync(file('ca.pem')), 'ca.pem', /is missing.*restore it, or move/],
    [({ file }) => rmSync(file('key.pem')), 'key.pem', /is missing.*restore it/],
    [({ file }) => writeFileSync(file('cert.pem'), 'x'), 'cert.pem', /not hold a certificate/],
    [({ file }) => writeFileSync(file('key.pem'), ''), 'key.pem', /not hold a private key/],
    [({ file }) => chmodSync(file('key.pem'), 0o640), 'key.pem', /mode 0640\); run: chmod 600/],
    [({ file }) => chmodSync(file('ca-key.pem'), 0o604), 'ca-key.pem', /run: chmod 600/],
    [
      ({ file }) => {
        rmSync(file('key.pem'));
        symlinkSync(stranger.file('key.pem'), file('key.pem'));
      },
      'key.pem',
      /cannot read/,
    ],
    [
      ({ file }) => {
        rmSync(file('cert.pem'));
        mkdirSync(file('cert.pem'));
      },
      'cert.pem',
      /not a plain file/,
    ],
  ];
  for (const [breakIt, name, words] of broken) {
    const gate = await made(t);
    breakIt(gate);
    const listed = readdirSync(join(gate.dir, 'tls'));
    await refused(loadTls(gate.dir, CONFIG, HOST, NOW), 'dir-invalid', gate.file(name), words);
    assert.deepEqual(readdirSync(join(gate.dir, 'tls')), listed);
  }
});

function copy(from: string, to: string): void {
  writeFileSync(to, readFileSync(from));
}

/** A certificate that somebody else issued, and the configuration that names it relative to DIR. */
async function given(t: Scope, atMs = NOW): Promise<Made & { config: typeof CONFIG }> {
  const { dir, file, text } = await made(t, atMs, ['gate.example']);
  const config = parseConfig('tls: { cert: tls/cert.pem, key: tls/key.pem }', 'x');
  for (const name of ['ca.pem', 'ca-key.pem']) rmSync(file(name));
  return { dir, file, text, config };
}

test('a given certificate is served as it is, also through a link', async (t) => {
  const { dir, file, text, config } = await given(t);
  const tls = await loadTls(dir, config, HOST, NOW);
  const { done, authority, warning, certificate } = tls;
  assert.deepEqual([done, authority, warning], ['loaded', undefined, undefined]);
  assert.equal(certificate, text('cert.pem'));
  assert.ok(tls.key.reveal().equals(readFileSync(file('key.pem'))));
  symlinkSync(file('cert.pem'), join(dir, 'c'));
  symlinkSync(file('key.pem'), join(dir, 'k'));
  const links = parseConfig(`tls: { cert: c, key: ${join(dir, 'k')} }`, 'x');
  assert.equal((await loadTls(dir, links, HOST, NOW)).certificate, certificate);
  const late = await loadTls(dir, config, HOST, NOW + 380 * DAY);
  assert.match(late.warning ?? '', /cert\.pem ends on .*; renew it/);
  assert.equal(late.certificate, certificate);
  assert.deepEqual(readdirSync(join(dir, 'tls')).sort(), ['cert.pem', 'key.pem']);
});

test('a given certificate that cannot be right is refused at the start', async (t) => {
  const { dir, file, config } = await given(t);
  const load = (atMs = NOW): Promise<Tls> => loadTls(dir, config, HOST, atMs);
  const is = (loading: Promise<Tls>, name: string, words: RegExp): Promise<void> =>
    refused(loading, 'config-invalid', file(name), words);
  await is(load(NOW + 400 * DAY), 'cert.pem', /expired on .*; put a new one there/);
  await is(load(NOW - DAY), 'cert.pem', /not valid before .*clock/);
  const key = readFileSync(file('key.pem'));
  chmodSync(file('key.pem'), 0o644);
  await is(load(), 'key.pem', /open to others \(mode 0644\); run: chmod 600/);
  chmodSync(file('key.pem'), 0o640);
  // Root's key may be shared with a group, as distributions do; anybody else's may not.
  if (process.getuid?.() === 0) assert.equal((await load()).done, 'loaded');
  else await is(load(), 'key.pem', /mode 0640/);
  chmodSync(file('key.pem'), 0o660);
  await is(load(), 'key.pem', /mode 0660/);
  chmodSync(file('key.pem'), 0o600);
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  writeFileSync(file('key.pem'), other.export({ type: 'pkcs8', format: 'pem' }));
  await is(load(), 'key.pem', /is not the key of .*cert\.pem; name the two/);
  const cipher = { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' } as const;
  writeFileSync(file('key.pem'), other.export(cipher));
  await is(load(), 'key.pem', /without a passphrase/);
  rmSync(file('key.pem'));
  await is(load(), 'key.pem', /cannot read .*ENOENT/);
  writeFileSync(file('key.pem'), key, { mode: 0o600 });
  writeFileSync(file('cert.pem'), key);
  await is(load(), 'cert.pem', /does not hold a certificate/);
  await check(['mkfifo', join(dir, 'pipe')]);
  const pipe = parseConfig('tls: { cert: pipe, key: tls/key.pem }', 'x');
  await refused(loadTls(dir, pipe, HOST, NOW), 'config-invalid', 'pipe', /not a plain file/);
});

test('a key too weak for TLS is told at the start, not to the first client', async (t) => {
  const dir = tempDir(t);
  const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
  const request = ['req', '-x509', '-newkey', 'rsa:1024', '-nodes', '-subj', '/CN=weak'];
  await check(['openssl', ...request, '-keyout', key, '-out', cert]);
  chmodSync(key, 0o600);
  const config = parseConfig('tls: { cert: cert.pem, key: key.pem }', 'x');
  const loading = loadTls(dir, config, HOST, NOW + 60_000);
  await refused(loading, 'config-invalid', cert, /cannot be served: .*key too small/);
});

test('one of the two keys of the configuration alone is an error', () => {
  assert.throws(
    () => parseConfig('tls:\n  cert: a.pem\n', 'x'),
    /x:2: tls: "cert" and "key" go together/,
  );
});
