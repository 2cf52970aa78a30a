/**
 * Every file that a real client moves by SFTP is told with the hash that it has on the target and with the user, and
 * comes back byte for byte; what was only part of a file is told as that.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { filesOf, scp, sftp } from '../support/file-clients.ts';
import type { FileLine } from '../support/file-clients.ts';
import { randomFrom, rounds } from '../support/scale.ts';
import { remoteDir } from '../support/remote-dir.ts';
import { ManualScope } from '../support/scope.ts';
import { startSite } from '../support/site.ts';
import type { Site } from '../support/site.ts';
import { tempDir } from '../support/tempdir.ts';

const random = randomFrom(11);
const sizes = [0, 1, 32_767, 32_768, 100_003, rounds(2 ** 30, 3_000_000)];

function hashOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

suite('files', () => {
  const scope = new ManualScope();
  let site: Site;
  let local: string;
  let remote: string;

  before(async () => {
    site = await startSite(scope);
    local = tempDir(scope);
    remote = await remoteDir(scope, site.to);
  });
  after(() => scope.end());

  /** The files of the newest connection, once it has ended and its trail with it. */
  async function newest(): Promise<FileLine[]> {
    await eventually('the end of the connection', async () => {
      const [first] = await site.gate.connections();
      return first?.['status'] === 'DISCONNECTED';
    });
    return filesOf(site.gate, ['newest']);
  }

  async function get(line: FileLine, ...flags: string[]): Promise<Buffer> {
    const { stdout, stderr, code } = await site.gate.cli([
      'files',
      'get',
      line.connection,
      line.id,
      ...flags,
    ]);
    assert.equal(code, 0, stderr.toString());
    return stdout;
  }

  // 262,144 bytes with their head are more than OpenSSH's own limit of a packet.
  for (const flags of [[], ['-R', '256', '-B', '261120']]) {
    test(`sftp ${flags.join(' ')} up and down: hashes and content are equal`, async () => {
      const batch: string[] = [];
      const contents = sizes.map((size) => random.bytes(size));
      for (const [i, content] of contents.entries()) {
        writeFileSync(join(local, `f${i}`), content);
        batch.push(`put ${local}/f${i} ${remote}/f${i}`, `get ${remote}/f${i} ${local}/b${i}`);
      }
      const { code, stderr } = await sftp(site.to, batch, flags);
      assert.equal(code, 0, stderr.toString());
      const files = await newest();
      assert.equal(files.length, 2 * contents.length);
      for (const [i, content] of contents.entries()) {
        const [up, down] = files.slice(2 * i, 2 * i + 2);
        assert.ok(up && down);
        for (const [line, direction] of [
          [up, 'upload'],
          [down, 'download'],
        ] as const) {
          assert.equal(line.direction, direction);
          assert.equal(line.path, `${remote}/f${i}`);
          assert.equal(line.status, 'ok');
          assert.equal(line.size, content.length);
          assert.equal(line.moved, content.length);
          assert.ok(line.whole, `${line.direction} of ${content.length} bytes is not whole`);
          assert.equal(line.sha256, hashOf(content));
          if (i >= 4) assert.ok((await get(line)).equals(content));
        }
        assert.ok(readFileSync(join(local, `b${i}`)).equals(content));
      }
      const found = await filesOf(site.gate, ['--sha256', hashOf(contents[4] ?? Buffer.alloc(0))]);
      assert.deepEqual(
        new Set(found.map(({ id }) => id)),
        new Set(files.slice(8, 10).map(({ id }) => id)),
      );
      const { stdout, code: verified } = await site.gate.cli(['trail', 'verify', 'newest']);
      assert.equal(verified, 0, stdout.toString());
    });
  }

  test('a resumed upload is a part of a file, and its bytes are that part', async () => {
    const content = random.bytes(900_000);
    writeFileSync(join(local, 'whole'), content);
    writeFileSync(join(local, 'part'), content.subarray(0, 400_000));
    const batch = [`put ${local}/part ${remote}/resumed`, `reput ${local}/whole ${remote}/resumed`];
    const { code, stderr } = await sftp(site.to, batch);
    assert.equal(code, 0, stderr.toString());
    const [first, second, ...others] = await newest();
    assert.ok(first && second && others.length === 0);
    assert.ok(first.whole);
    assert.equal(second.whole, false);
    assert.equal(second.moved, 500_000);
    assert.equal(second.sha256_moved, hashOf(content.subarray(400_000)));
    const refused = await site.gate.cli(['files', 'get', second.connection, second.id]);
    assert.equal(refused.code, 1, `${refused.stdout.length} bytes`);
    assert.match(refused.stderr.toString(), /400,000 bytes of .* did not cross here: --holes=zero/);
    const filled = await get(second, '--holes=zero');
    assert.ok(filled.subarray(0, 400_000).every((byte) => byte === 0));
    assert.ok(filled.subarray(400_000).equals(content.subarray(400_000)));
  });

  test('scp in its old protocol, a tree with times both ways: hashes and content are equal', async () => {
    const tree = join(local, 'tree');
    mkdirSync(join(tree, 'deep'), { recursive: true });
    const contents = new Map([
      ['deep/b', random.bytes(1_000_003)],
      ['a', random.bytes(70_000)],
      ['empty', Buffer.alloc(0)],
    ]);
    for (const [name, content] of contents) writeFileSync(join(tree, name), content);
    for (const direction of ['upload', 'download'] as const) {
      const [from, to, top] =
        direction === 'upload'
          ? [tree, `HOST:${remote}/copy`, `${remote}/copy`]
          : [`HOST:${remote}/copy`, `${local}/back`, `${remote}/copy`];
      const { code, stderr } = await scp(site.to, ['-O', '-r', '-p'], from, to);
      assert.equal(code, 0, stderr.toString());
      const files = await newest();
      assert.equal(files.length, contents.size);
      for (const line of files) {
        const [name, content] =
          [...contents].find(([end]) => line.path.endsWith(`/${end}`)) ?? assert.fail(line.path);
        assert.equal(line.direction, direction);
        assert.ok(line.path.startsWith(top), line.path);
        assert.equal(line.status, 'ok');
        assert.ok(line.whole, name);
        assert.equal(line.sha256, hashOf(content));
        assert.ok((await get(line)).equals(content));
      }
    }
    const { code } = await site.gate.cli(['trail', 'verify', 'newest']);
    assert.equal(code, 0);
  });

  test('scp in its SFTP mode, and operations in trail show', async () => {
    const content = random.bytes(200_000);
    writeFileSync(join(local, 'copied'), content);
    const { code } = await scp(site.to, ['-s'], `${local}/copied`, `HOST:${remote}/copied`);
    assert.equal(code, 0);
    const [file] = await newest();
    assert.equal(file?.sha256, hashOf(content));
    const batch = [
      `rename ${remote}/copied ${remote}/moved`,
      `mkdir ${remote}/d`,
      `-rm ${remote}/no`,
    ];
    assert.equal((await sftp(site.to, batch)).code, 0);
    await newest();
    const shown = await site.gate.text(['trail', 'show', 'newest', '0']);
    assert.match(shown, new RegExp(`rename ${remote}/copied ${remote}/moved`));
    assert.match(shown, new RegExp(`mkdir ${remote}/d`));
    assert.match(shown, new RegExp(`remove ${remote}/no: no such file`));
  });

  test('files of a running connection are known within seconds, and of a killed gate after it', async () => {
    mkdirSync(join(local, 'k'));
    const content = random.bytes(50_000);
    writeFileSync(join(local, 'k/one'), content);
    const wait = `!while [ ! -e ${local}/k/stop ]; do sleep 0.1; done`;
    const client = sftp(site.to, [`put ${local}/k/one ${remote}/one`, wait]);
    const known = await eventually('the file of a running session', async () => {
      const [file] = await filesOf(site.gate, ['--sha256', hashOf(content)]);
      return file;
    });
    assert.equal(known.status, 'ok');
    assert.ok((await get(known)).equals(content));
    await site.gate.kill9();
    writeFileSync(join(local, 'k/stop'), '');
    await client;
    await site.gate.restart();
    const again = await eventually('the file after a crash', async () => {
      const [file] = await filesOf(site.gate, ['--sha256', hashOf(content)]);
      return file;
    });
    assert.equal(again.id, known.id);
    assert.deepEqual(await filesOf(site.gate, ['newest']), [again]);
  });
});
