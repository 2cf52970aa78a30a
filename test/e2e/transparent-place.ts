/**
 * Where a script of the corpus is played, and what it left to see. The same script is played directly at the target and
 * through the gate; a script knows only its place, so it cannot tell the two apart.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { run } from '../support/process.ts';
import type { Outcome } from '../support/process.ts';
import type { Scope } from '../support/scope.ts';
import { sshCommand, sshEnv } from '../support/ssh-client.ts';
import type { Endpoint, SshOptions } from '../support/ssh-client.ts';

export interface Place {
  readonly to: Endpoint;
  /** The same target, whose login takes this much longer; directly it takes no longer at all. */
  readonly slow: (delayMs: number) => Endpoint;
  readonly scope: Scope;
}

/** What a script shows: streams and ends by name. */
export type Shown = Record<string, Buffer | string | number | null>;

export interface Script {
  readonly name: string;
  readonly play: (place: Place) => Promise<Shown>;
}

/** All that one run of ssh shows. */
export function shownBy({ stdout, stderr, code, signal }: Outcome): Shown {
  return { stdout, stderr, code, signal };
}

/** A word of a shell command line that stands for these bytes, whatever they are (no NUL, no newline at the end). */
export function shellBytes(bytes: Buffer): string {
  const octal = [...bytes].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');
  return `"$(printf '${octal}')"`;
}

/**
 * Runs ssh with a command or an environment value of any bytes. Node passes arguments as UTF-8, so a shell puts the
 * bytes in place; it becomes ssh in the end.
 */
export function sshWithBytes(
  to: Endpoint,
  what: { readonly command: Buffer; readonly env?: Readonly<Record<string, Buffer>> },
  options: SshOptions = {},
): Promise<Outcome> {
  const env = Object.entries(what.env ?? {});
  const exports = env.map(([name, value]) => `export ${name}=${shellBytes(value)}\n`).join('');
  const settings = [...(options.settings ?? []), ...env.map(([name]) => `SendEnv=${name}`)];
  return run(
    [
      '/bin/sh',
      '-c',
      `${exports}exec "$@" ${shellBytes(what.command)}`,
      'sh',
      ...sshCommand(to, { ...options, settings }),
    ],
    { ...options, env: sshEnv(to, options.env) },
  );
}

/** A short account of bytes, enough to see what is wrong without printing a megabyte. */
function account(value: Shown[string] | undefined): unknown {
  if (!Buffer.isBuffer(value)) return value;
  const digest = createHash('sha256').update(value).digest('hex').slice(0, 16);
  return { length: value.length, digest, head: value.subarray(0, 600).toString('latin1') };
}

/** What ssh says when it was never let in: two such runs would be equal, and prove nothing. */
const NOT_LET_IN =
  /Permission denied \(|Connection (refused|closed|reset|timed out)|Host key verif/;

/** Fails unless both show the same; names the first byte that differs. */
export function assertSame(name: string, direct: Shown, gated: Shown): void {
  for (const value of Object.values(direct)) {
    const text = Buffer.isBuffer(value) ? value.toString('latin1', 0, 10_000) : '';
    assert.doesNotMatch(text, NOT_LET_IN, `${name}: the direct run did not reach the target`);
  }
  for (const key of new Set([...Object.keys(direct), ...Object.keys(gated)])) {
    const [a, b] = [direct[key], gated[key]];
    if (Buffer.isBuffer(a) && Buffer.isBuffer(b) && !a.equals(b)) {
      let at = 0;
      while (at < a.length && a[at] === b[at]) at++;
      const near = (bytes: Buffer): string =>
        JSON.stringify(bytes.subarray(Math.max(0, at - 40), at + 40).toString('latin1'));
      console.error(`${name}: ${key} differs at byte ${at}: ${near(a)} / ${near(b)}`);
    }
    assert.deepEqual(
      account(b),
      account(a),
      `${name}: ${key} through the gate is not the direct one`,
    );
  }
}
