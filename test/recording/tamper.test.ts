/**
 * P4, D2, R19: nothing that was signed can be altered, cut, reordered, repeated, removed or spliced unseen, and an
 * untouched trail raises no alarm.
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import { KINDS, readBlockHead } from '../../src/recording/container.ts';
import { PublicKeys, SigningKey } from '../../src/recording/seal.ts';
import { verifyTrail } from '../../src/recording/verify-trail.ts';
import { rounds, scale } from '../support/scale.ts';
import { tempDir } from '../support/tempdir.ts';
import { keys, sampleTrail } from './sample.ts';

function blocksOf(bytes: Buffer): Buffer[] {
  const blocks: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const { length } = readBlockHead(bytes.subarray(at));
    blocks.push(bytes.subarray(at, at + length));
    at += length;
  }
  return blocks;
}

async function stateOf(path: string, bytes: Buffer): Promise<string> {
  await writeFile(path, bytes);
  return (await verifyTrail(path, keys)).state;
}

test('every single-byte change is detected', async (t) => {
  const dir = tempDir(t);
  const path = join(dir, 'a.trail');
  await sampleTrail(path);
  const original = await readFile(path);
  assert.equal(await stateOf(path, original), 'complete');
  for (let at = 0; at < original.length; at++) {
    for (const mask of scale() === 1 ? [0x01, 0x80, 0xff] : [0x01]) {
      const bytes = Buffer.from(original);
      bytes[at] = (bytes[at] ?? 0) ^ mask;
      assert.equal(await stateOf(path, bytes), 'bad', `byte ${at} xor ${mask}`);
    }
  }
});

test('every truncation is detected, and so is every extension', async (t) => {
  const dir = tempDir(t);
  const path = join(dir, 'a.trail');
  await sampleTrail(path);
  const original = await readFile(path);
  for (let length = 0; length < original.length; length++) {
    const state = await stateOf(path, original.subarray(0, length));
    assert.ok(state === 'bad' || state === 'cut', `cut at ${length} is ${state}`);
  }
  for (const more of [Buffer.alloc(1), Buffer.from('SALB'), original, Buffer.alloc(4096)]) {
    assert.equal(await stateOf(path, Buffer.concat([original, more])), 'bad');
  }
});

test('reordered, repeated and dropped blocks are detected', async (t) => {
  const dir = tempDir(t);
  const path = join(dir, 'a.trail');
  await sampleTrail(path);
  const blocks = blocksOf(await readFile(path));
  assert.ok(blocks.length >= 7);
  for (let i = 0; i < blocks.length; i++) {
    const dropped = blocks.filter((_, at) => at !== i);
    assert.notEqual(await stateOf(path, Buffer.concat(dropped)), 'complete', `drop ${i}`);
    for (let j = 0; j < blocks.length; j++) {
      const block = blocks[i] ?? Buffer.alloc(0);
      const repeated = blocks.toSpliced(j, 0, block);
      assert.equal(await stateOf(path, Buffer.concat(repeated)), 'bad', `repeat ${i} at ${j}`);
      if (i === j) continue;
      const swapped = blocks.with(i, blocks[j] ?? block).with(j, block);
      assert.equal(await stateOf(path, Buffer.concat(swapped)), 'bad', `swap ${i} and ${j}`);
    }
  }
});

test('two trails spliced at any block are detected', async (t) => {
  const dir = tempDir(t);
  const path = join(dir, 'c.trail');
  await sampleTrail(join(dir, 'a.trail'));
  await sampleTrail(join(dir, 'b.trail'));
  const a = blocksOf(await readFile(join(dir, 'a.trail')));
  const b = blocksOf(await readFile(join(dir, 'b.trail')));
  for (let i = 1; i < a.length; i++) {
    for (let j = 1; j < b.length; j++) {
      const spliced = Buffer.concat([...a.slice(0, i), ...b.slice(j)]);
      assert.equal(await stateOf(path, spliced), 'bad', `${i} blocks of one, then from ${j}`);
    }
    const exchanged = Buffer.concat(a.with(i, b[i] ?? Buffer.alloc(0)));
    assert.equal(await stateOf(path, exchanged), 'bad', `block ${i} exchanged`);
  }
});

test('changes with a repaired checksum are detected by chain and signature', async (t) => {
  const dir = tempDir(t);
  const path = join(dir, 'a.trail');
  await sampleTrail(path);
  const original = await readFile(path);
  let at = 0;
  for (const block of blocksOf(original)) {
    const { count, length } = readBlockHead(block);
    for (let i = 8; i < 128 + 48 * count; i++) {
      const bytes = Buffer.from(original);
      bytes[at + i] = (bytes[at + i] ?? 0) ^ 1;
      const heads = bytes.subarray(at, at + 128 + 48 * count);
      bytes.writeUInt32BE(crc32(heads.subarray(8)), at + 4);
      const state = await stateOf(path, bytes);
      // A last block that claims to be longer looks cut; anything else is plainly wrong.
      assert.ok(state === 'bad' || state === 'cut', `byte ${at + i}: ${state}`);
    }
    at += length;
  }
});

/**
 * What somebody who knows the format but has no key can do: change a trail and make everything that needs no key agree
 * again: commitments, checksums, chain, and the chain values that checkpoints hold.
 */
function forge(bytes: Buffer, change: (block: Buffer, ordinal: number) => void): Buffer {
  let chain: Buffer = Buffer.alloc(32);
  let ordinal = 0;
  const forged = blocksOf(bytes).map((original) => {
    const block = Buffer.from(original);
    change(block, ordinal);
    const { count } = readBlockHead(block);
    const end = 128 + 48 * count;
    let at = end;
    for (let i = 0; i < count; i++) {
      const head = 128 + 48 * i;
      const salted = block.subarray(at, at + 16 + block.readUInt32BE(head + 4));
      if (block[head] === KINDS.checkpoint) chain.copy(salted, 16);
      createHash('sha256')
        .update(salted)
        .digest()
        .copy(block, head + 16);
      at += salted.length;
    }
    chain = createHash('sha256').update(chain).update(block.subarray(72, end)).digest();
    block.writeUInt32BE(crc32(block.subarray(8, end)), 4);
    ordinal += count;
    return block;
  });
  return Buffer.concat(forged);
}

test('only the key can make a changed trail good again', async (t) => {
  const path = join(tempDir(t), 'a.trail');
  await sampleTrail(path);
  const original = await readFile(path);
  assert.ok(forge(original, () => undefined).equals(original), 'forging nothing changes nothing');
  const blocks = blocksOf(original);
  let first = 0;
  for (const block of blocks) {
    const here = first;
    const { count } = readBlockHead(block);
    const heads = 128 + 48 * count;
    // Every byte of the payloads, salts and record heads that can be changed without the file falling apart.
    for (let at = heads; at < block.length; at++) {
      const forged = forge(original, (changed, ordinal) => {
        if (ordinal === here) changed[at] = (changed[at] ?? 0) ^ 1;
      });
      // The chain value in a checkpoint is made to agree again, so that change is none.
      if (forged.equals(original)) continue;
      assert.equal(await stateOf(path, forged), 'bad', `record ${here}, byte ${at}`);
    }
    for (const at of [129, 130, 131]) {
      const forged = forge(original, (changed, ordinal) => {
        if (ordinal === here) changed[at] = (changed[at] ?? 0) ^ 3;
      });
      assert.equal(await stateOf(path, forged), 'bad', `record head ${here}, byte ${at}`);
    }
    first += count;
  }
});

test('unsigned and wrongly signed trails are bad', async (t) => {
  const dir = tempDir(t);
  const path = join(dir, 'a.trail');
  await sampleTrail(path);
  const stranger = new PublicKeys([new SigningKey(SigningKey.generatePem()).publicPem()]);
  assert.equal((await verifyTrail(path, stranger)).state, 'bad');
  assert.equal((await verifyTrail(path, new PublicKeys([]))).state, 'bad');
  const blocks = blocksOf(await readFile(path));
  const unsigned = await stateOf(path, blocks[0] ?? Buffer.alloc(0));
  assert.equal(unsigned, 'bad');
});

test('a trail of another key that claims ours is bad', async (t) => {
  const dir = tempDir(t);
  const path = join(dir, 'a.trail');
  const forger = new SigningKey(SigningKey.generatePem());
  await sampleTrail(path, { key: forger });
  assert.equal((await verifyTrail(path, keys)).state, 'bad');
  const open = join(dir, 'b.trail');
  await sampleTrail(open, { key: forger, open: true, live: false });
  // Even before its first checkpoint.
  const [first = Buffer.alloc(0)] = blocksOf(await readFile(open));
  await writeFile(open, first);
  assert.equal((await verifyTrail(open, keys, { live: true })).state, 'bad');
});

test('untouched trails raise no alarm', async (t) => {
  const dir = tempDir(t);
  const count = rounds(10_000);
  for (let i = 0; i < count; i++) {
    const path = join(dir, `${i}.trail`);
    const end = await sampleTrail(path, { live: false, rounds: 1 + (i % 5), syncMs: 0 });
    const report = await verifyTrail(path, keys);
    assert.equal(report.state, 'complete', report.reason);
    assert.equal(report.digest, end.digest.toString('hex'));
    assert.equal(report.reason, 'exit 0');
  }
});
