/** A command is scp only when it is plainly scp; everything else is exec. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { kindOfExec, kindOfSubsystem } from '../../src/access/channel-kind.ts';

const kind = (command: string | Buffer) => kindOfExec(Buffer.from(command));

test("what OpenSSH's, PuTTY's and dropbear's scp send is scp", () => {
  for (const command of [
    'scp -t /tmp/x',
    'scp -f /tmp/x',
    'scp -v -r -p -t .',
    'scp -r -d -t dir',
    'scp -rpt ~/dir',
    'scp -q -f *.tx[0-9]?',
    'scp -t -- -x',
    'scp -f a,b:c@d%e+f_g',
    Buffer.from([...Buffer.from('scp -f caf'), 0xe9]),
    'scp -f büro',
  ]) {
    assert.equal(kind(command), 'scp', String(command));
  }
});

test('whatever is not plainly scp is exec', () => {
  for (const command of [
    '',
    'scp',
    'scp ',
    'scp -t',
    'scp -t ',
    'scp /tmp/x',
    'scp -r x',
    'scp -tf x',
    'scp -t -f x',
    'scp -t x y',
    'scp  -t x',
    ' scp -t x',
    'scp -t x ',
    'scp -t x\n',
    'scp -t x\nid',
    'id\nscp -t x',
    'id;scp -t x',
    'scp -t\tx',
    'scp -S/tmp/evil -t x',
    'scp -oProxyCommand=id -t x',
    'scp -t -S',
    'scp -t --',
    'SCP -t x',
    '/usr/bin/scp -t x',
    'scp-t x',
    "scp -t 'a b'",
    'scp -t a\\ b',
    'LD_PRELOAD=x scp -t x',
  ]) {
    assert.equal(kind(command), 'exec', JSON.stringify(command));
  }
});

const META = Array.from(' \t\r\n\0"\'`$\\;&|<>(){}#!=^\x1b\x7f');
const plain = fc.stringMatching(/^[A-Za-z0-9._/*?[\]~,:@%+-]{0,20}$/);

test('one shell metacharacter anywhere in the path makes it exec', () => {
  fc.assert(
    fc.property(plain, fc.constantFrom(...META), plain, (before, meta, after) => {
      assert.equal(kind(`scp -t /${before}${meta}${after}`), 'exec');
      assert.equal(kind(`scp -r${meta} -t /${before}${after}`), 'exec');
    }),
    { numRuns: 2000 },
  );
});

test('a plain path with exactly one of -t and -f, in any company, is scp', () => {
  const flags = fc.stringMatching(/^[rpdvq]{0,4}$/);
  fc.assert(
    fc.property(flags, fc.constantFrom('t', 'f'), plain, (others, way, path) => {
      assert.equal(kind(`scp -${others}${way} /${path}`), 'scp');
      assert.equal(kind(`scp -${others}tf /${path}`), 'exec');
    }),
  );
});

test('any bytes: an answer, and scp only for the form', () => {
  const form = /^scp( -[rpdvqtf]+)+ (-- )?[^ ]+$/;
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.boolean(), (bytes, prefixed) => {
      const command = prefixed
        ? Buffer.concat([Buffer.from('scp -t '), bytes])
        : Buffer.from(bytes);
      if (kindOfExec(command) === 'scp') assert.match(command.toString('latin1'), form);
    }),
    { numRuns: 2000 },
  );
  // Linear in the length of a command made to be slow.
  assert.equal(kind(`scp${' -r'.repeat(10_000)} x;`), 'exec');
});

test('subsystems: sftp, others by exact name, unprintable ones none', () => {
  const name = (text: string | Buffer) => kindOfSubsystem(Buffer.from(text));
  assert.equal(name('sftp'), 'sftp');
  assert.equal(name('netconf'), 'subsystem:netconf');
  assert.equal(name('SFTP'), 'subsystem:SFTP');
  assert.equal(name('sftp '), undefined);
  assert.equal(name('sftp\0'), undefined);
  assert.equal(name(''), undefined);
  assert.equal(name('x'.repeat(256)), undefined);
  assert.equal(name(Buffer.from([0xff])), undefined);
});
